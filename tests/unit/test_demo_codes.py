"""From speech to codes: spectra, pitch, phones and the letters they are read from."""

import unicodedata

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_voice.alignment import letters_of_phones
from demo_voice.codebook import Codebook, weights
from demo_voice.codes import cycles, encoded, phone_codes, phone_steps
from demo_voice.corpus import Utterance, trimmed
from demo_voice.features import CEPSTRA, WINDOW_SAMPLES, log_mel, mel_weights, to_16_khz, to_24_khz, whole_frames
from demo_voice.flite import Speech
from demo_voice.layout import CODES_USED, PITCHES, SECONDS_PER_FRAME
from demo_voice.phones import PHONE_IDS, PHONES, STRESS, SYMBOLS
from demo_voice.pronouncing import spelled
from demo_voice.vocabulary import CHARACTERS, SIZE, SLOT_STARTS, audio_ids, prompt_ids, token_ids
from orpheus_core.layout import CODES_PER_SLOT, SAMPLE_RATE_HZ
from orpheus_core.prompt import preset_prompt

pytestmark = pytest.mark.unit


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> npt.NDArray[np.float32]:
    wave: npt.NDArray[np.float32] = np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)
    return wave.astype(np.float32)


@pytest.mark.parametrize("hz", [100.0, 1000.0, 6000.0])
def test_resampling_keeps_a_tone(hz: float) -> None:
    up = to_24_khz(tone(hz, 16_000))
    assert len(up) == 24_000
    assert np.abs(up - tone(hz, 24_000))[100:-100].max() < 0.02
    down = to_16_khz(tone(hz, 24_000))
    assert len(down) == 16_000
    assert np.abs(down - tone(hz, 16_000))[100:-100].max() < 0.02


def test_resampling_leaves_out_what_cannot_be_kept() -> None:
    assert np.abs(to_16_khz(tone(11_000, 24_000)))[100:-100].max() < 0.05


def test_a_tone_is_loudest_in_its_band() -> None:
    bands = log_mel(whole_frames(tone(1000.0, SAMPLE_RATE_HZ)))
    bins_hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE_HZ)
    expected = mel_weights(WINDOW_SAMPLES, bands.shape[1])[np.abs(bins_hz - 1000).argmin()].argmax()
    assert set(bands[4:-8].argmax(axis=1)) == {expected}


@given(st.lists(st.floats(0.005, 0.4), min_size=1, max_size=40), st.integers(0, 3))
def test_every_phone_has_a_step_and_none_goes_back(durations_s: list[float], more: int) -> None:
    ends_s = np.cumsum(durations_s).astype(np.float32)
    steps = 2 * max(int(np.ceil(ends_s[-1] / SECONDS_PER_FRAME)), (len(durations_s) + 1) // 2) + 2 * more
    places = phone_steps(ends_s, steps)
    assert len(places) == steps
    assert sorted(set(places)) == list(range(len(durations_s)))
    assert (np.diff(places) >= 0).all()


def test_long_phones_keep_their_time() -> None:
    step_s = SECONDS_PER_FRAME / 2
    places = phone_steps(np.array([2, 5, 8], dtype=np.float32) * np.float32(step_s), 8)
    assert places.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]


def test_states_are_first_early_late() -> None:
    codes = phone_codes(np.array([3, 7], dtype=np.uint8), np.array([0, 1, 1, 1, 1]))
    assert codes.tolist() == [9, 21, 22, 23, 23]


def test_pitch_is_whole_cycles_of_a_frame_or_none() -> None:
    per_frame = round(SECONDS_PER_FRAME / 0.005)
    pitch_hz = np.concatenate((np.full(per_frame, 187.5), np.zeros(per_frame), np.full(per_frame, 1000.0)))
    assert cycles(pitch_hz.astype(np.float32), 3).tolist() == [16, 0, PITCHES - 1]


def test_codes_are_within_what_the_layout_uses() -> None:
    rng = np.random.default_rng(0)
    codebook = Codebook(
        rng.standard_normal((512, CEPSTRA)).astype(np.float32), np.zeros((2, CEPSTRA), dtype=np.float32)
    )
    said = Utterance(
        text="hello.", cepstra=rng.standard_normal((24, CEPSTRA)).astype(np.float32),
        pitch_hz=np.full(102, 120, dtype=np.float32), phones=np.array([0, 16, 12, 21, 26, 0], dtype=np.uint8),
        ends_s=np.array([0.04, 0.1, 0.2, 0.3, 0.45, 0.5], dtype=np.float32), audio=np.zeros(0, dtype=np.int16),
    )  # fmt: skip
    for voice in (0, 1):
        codes = encoded(said, voice, codebook)
        assert codes.shape == (6, 7)
        assert (codes >= 0).all()
        assert (codes.max(axis=0) < CODES_USED).all()
        assert set(codes[:, 0] // PITCHES) == {voice}
    assert max(CODES_USED) <= CODES_PER_SLOT


def test_a_centroid_is_its_own_nearest() -> None:
    rng = np.random.default_rng(1)
    codebook = Codebook(
        rng.standard_normal((512, CEPSTRA)).astype(np.float32), rng.standard_normal((2, CEPSTRA)).astype(np.float32)
    )
    chosen = rng.integers(0, 512, 50)
    cepstra = (codebook.centroids[chosen] + codebook.means[1]) / weights()
    assert codebook.nearest(cepstra, 1).tolist() == chosen.tolist()


@pytest.mark.parametrize(
    ("text", "phones", "letters"),
    [
        (" the cat.", "dh ax k ae t pau", "t e c a t ."),
        (" thought.", "th ao t pau", "t u t ."),
        (" fox.", "f aa k s pau", "f o x x ."),
        (" ðə ᴋˈæᴛ.", "dh ax k ae t pau", "ð ə ᴋ æ ᴛ ."),
        (" ꜱɪx ɴɩᴛs.", "s ih k s n ay t s pau", "ꜱ ɪ x x ɴ ɩ ᴛ s ."),
        (" ᴅʌᴢ ɪᴛ?", "d ah z ax t pau", "ᴅ ʌ ᴢ ɪ ᴛ ?"),
        (" knights, who?", "n ay t s pau hh uw pau", "n i t s , w o ?"),
    ],
)
def test_phones_are_read_from_their_letters(text: str, phones: str, letters: str) -> None:
    found = letters_of_phones(text, np.array([PHONE_IDS[name] for name in phones.split()], dtype=np.uint8))
    assert [text[index] for index in found] == letters.split()
    assert (np.diff(found) >= 0).all()


def test_the_prompt_s_ids_are_orpheus_s_strings() -> None:
    strings = {number: token for token, number in token_ids().items()}
    ids, text_start = prompt_ids("leo", "is it nine?")
    written = "".join(strings[number] for number in ids)
    assert written == "<|begin_of_text|>" + preset_prompt(voice="leo", text="is it nine?")
    assert "".join(strings[number] for number in ids[text_start:]).startswith("is it nine?")


def test_audio_ids_are_the_layout_s_tokens() -> None:
    strings = {number: token for token, number in token_ids().items()}
    assert len(strings) == SIZE
    last = np.array([CODES_USED]) - 1
    tokens = [strings[number] for number in audio_ids(last)[0]]
    assert tokens == [f"<custom_token_{10 + CODES_PER_SLOT * slot + code}>" for slot, code in enumerate(last[0])]
    assert SLOT_STARTS[-1] + CODES_USED[-1] == SIZE


def test_silence_around_a_sentence_is_cut() -> None:
    rng = np.random.default_rng(2)
    speech = Speech(
        audio=rng.standard_normal(16_000).astype(np.float32), pitch_hz=np.arange(200, dtype=np.float32),
        phones=np.array([0, 16, 0, 12, 0], dtype=np.uint8),
        ends_s=np.array([0.2, 0.4, 0.5, 0.7, 1.0], dtype=np.float32),
    )  # fmt: skip
    kept = trimmed(speech)
    assert np.array_equal(kept.audio, speech.audio[round(0.16 * 16_000) : round(0.78 * 16_000)])
    assert np.array_equal(kept.pitch_hz, speech.pitch_hz[32:156])
    assert kept.ends_s == pytest.approx([0.04, 0.24, 0.34, 0.54, 0.62])


@pytest.mark.parametrize(
    ("phones", "spelling"),
    [
        ("hh ax0 l ow1", "ʜəʟˈɵ"),
        ("k ae1 t", "ᴋæᴛ"),
        ("t ax", "ᴛə"),
        ("ey1 t iy1 n", "ˈɘᴛˈɨɴ"),
        ("", ""),
    ],
)
def test_words_of_several_vowels_show_their_stress(phones: str, spelling: str) -> None:
    assert spelled(phones.split()) == spelling


def test_a_spelling_s_characters_are_no_letters_and_stay_what_they_are() -> None:
    characters = [*SYMBOLS.values(), STRESS]
    assert len(set(characters)) == len(characters) == len(PHONES)
    for character in characters:
        assert len(character) == 1
        assert unicodedata.normalize("NFD", character).lower() == character
        assert unicodedata.category(character) != "Mn"
        assert character not in CHARACTERS
