"""What is made, from what, and where it lies."""

import argparse
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from demo_voice.checkpoint import WEIGHTS_FILE
from demo_voice.codebook import CODEBOOK_FILE, Codebook
from demo_voice.codebook_making import codebook, codebook_folder
from demo_voice.corpus import Corpus
from demo_voice.encoded import EncodedCorpus
from demo_voice.pronouncing import make_lexicon
from demo_voice.sentences import all_texts
from demo_voice.settings import CodebookSettings, CodecSettings, CorpusSettings, LmSettings
from demo_voice.store import key
from orpheus_core.lexicon import Lexicon


@dataclass(frozen=True)
class Recipe:
    """All settings, and where their results lie."""

    options: argparse.Namespace
    corpus_settings: CorpusSettings = field(default_factory=CorpusSettings)
    codebook_settings: CodebookSettings = field(default_factory=CodebookSettings)
    codec_settings: CodecSettings = field(default_factory=CodecSettings)
    lm_settings: LmSettings = field(default_factory=LmSettings)

    @cached_property
    def corpus(self) -> Corpus:
        texts = all_texts(self.corpus_settings.seed)
        return Corpus.under(self.options.cache, self.corpus_settings, texts)

    @cached_property
    def codebook(self) -> Codebook:
        """The one that was made, or, at a warm start, the one that the release was trained with."""
        given = self.options.warm_start
        path = self.codebook_folder / CODEBOOK_FILE
        if given and not path.exists():
            Codebook.load(given / "codec" / CODEBOOK_FILE).save(path)
        return codebook(self.options.cache, self.corpus, self.codebook_settings)

    @cached_property
    def lexicon(self) -> Lexicon:
        """As the prompts of the training have it, and the release."""
        return make_lexicon(self.options.cache, self.corpus.texts.training)

    @property
    def codebook_folder(self) -> Path:
        return codebook_folder(self.options.cache, self.corpus, self.codebook_settings)

    @property
    def codec_folder(self) -> Path:
        return Path(self.options.cache / f"codec-{key(self.codec_settings, self.codebook_folder.name)}")

    @property
    def lm_folder(self) -> Path:
        """A training that goes on from a release is another one."""
        given = self.options.warm_start
        weights = [hashlib.sha256((given / "lm" / WEIGHTS_FILE).read_bytes()).hexdigest()] if given else []
        return Path(self.options.cache / f"lm-{key(self.lm_settings, self.codebook_folder.name, *weights)}")

    @property
    def finish_name(self) -> str:
        return f"finish-{self.options.trunk_steps}-{self.options.finish_steps}"

    def encoded(self) -> EncodedCorpus:
        return EncodedCorpus(self.codebook_folder / "readings", self.corpus, self.codebook)
