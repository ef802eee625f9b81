"""Fetches models from the Hugging Face hub into its own cache, checks what came and writes down what it is.

Runs in the server's environment; `scripts/fetch_models` and a start call it. Only what serving needs is fetched: the
released Orpheus repositories hold optimizer state of a hundred gigabytes besides. Honours HF_TOKEN, HF_HOME and
HF_ENDPOINT. An interrupted download goes on where it was (the library itself begins anew).
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlparse

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, get_token

WEIGHTS = "*.safetensors"
OLD_WEIGHTS = "pytorch_model.bin"
"""SNAC's; taken where there is no safetensors file."""

OTHERS = ("*.json", "*.txt", "*.model")
ATTEMPTS = 2
"""A file with another checksum than the hub's is fetched once more."""

SPARE_BYTES = 1 << 30
"""Left free on the disk beside what is fetched."""

BLOCK_BYTES = 1 << 20


class FetchError(Exception):
    """A sentence for whoever runs the command: the thing, the value got, the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as the hub describes it."""

    name: str
    size_bytes: int
    digest: str
    """SHA-256 of a large file, git's own blob id of a small one; the cache names the file by it."""
    is_sha256: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A repository at a commit, with the files that are wanted of it."""

    repository: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]

    def blob(self, file: RemoteFile) -> Path:
        """Where the cache keeps the file."""
        folder = repo_folder_name(repo_id=self.repository, repo_type="model")
        return Path(constants.HF_HUB_CACHE, folder, "blobs", file.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is written down of a repository that is here."""

    repository: str
    revision: str
    commit: str
    folder: str
    sizes_bytes: dict[str, int]
    digests: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 and a sentence if something cannot be had."""
    parser = argparse.ArgumentParser(description="Fetches models from the hub.")
    parser.add_argument("repositories", nargs="+", metavar="OWNER/NAME[@REVISION]", help="REVISION is main if left out")
    parser.add_argument("--records", type=Path, required=True, metavar="DIR", help="where to write down what came")
    options = parser.parse_args(arguments)
    if not sys.stdout.isatty():
        disable_progress_bars()
    try:
        fetch(options.repositories, options.records)
    except (FetchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def fetch(names: Iterable[str], records: Path) -> None:
    """Everything of these repositories that serving needs, with one file for each in `records`.

    Raises:
        FetchError: something cannot be had.
        OSError: the cache or `records` cannot be written.
    """
    found = [_listing_or_record(*_parts(name)) for name in names]
    listings = [each for each in found if isinstance(each, Listing)]
    _require_room(listings)
    for each in found:
        record = _fetched(each) if isinstance(each, Listing) else each
        records.mkdir(parents=True, exist_ok=True)
        path = records / record_name(record.repository, record.revision)
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
        _say(f"{record.repository} at {record.commit}: {record.folder}")


def record_name(repository: str, revision: str) -> str:
    """Of the file that is written about a repository."""
    return f"{repository}@{revision}".replace("/", "--") + ".json"


def wanted(names: Iterable[str]) -> list[str]:
    """Of the files of a repository those that are served: weights, tokenizer and configuration at its top."""
    top = [name for name in names if "/" not in name]
    weights = [name for name in top if fnmatch(name, WEIGHTS)] or [name for name in top if name == OLD_WEIGHTS]
    return sorted({*weights, *(name for name in top if any(fnmatch(name, pattern) for pattern in OTHERS))})


def digest_of(path: Path, *, is_sha256: bool) -> str:
    """Of a file, as the hub states it."""
    digest = hashlib.sha256() if is_sha256 else hashlib.sha1(usedforsecurity=False)
    if not is_sha256:
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _parts(name: str) -> tuple[str, str]:
    repository, _, revision = name.partition("@")
    return repository, revision or constants.DEFAULT_REVISION


def _listing_or_record(repository: str, revision: str) -> Listing | Record:
    """What the hub has; where it cannot be reached, what the cache has.

    Raises:
        FetchError: neither.
    """
    try:
        return _listing(repository, revision)
    except HfHubHTTPError as error:
        raise FetchError(_refusal(repository, revision, error)) from None
    except HFValidationError:
        raise FetchError(f"{repository}: no name that the hub can have: give owner/name") from None
    except (OSError, HTTPError) as error:
        if (record := _cached(repository, revision)) is None:
            raise FetchError(
                f"{repository} cannot be fetched ({_first_line(error)}): is the hub reachable? A folder of the model "
                "works as well"
            ) from None
        _say(f"{repository}: the hub cannot be reached ({_first_line(error)}); what is in its cache is taken")
        return record


def _listing(repository: str, revision: str) -> Listing:
    info = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    names = wanted(siblings)
    if not names:
        raise FetchError(f"{repository} at {revision} holds neither weights nor a tokenizer: is it the right model?")
    files = []
    for name in names:
        lfs = siblings[name].lfs
        digest = lfs.sha256 if lfs else siblings[name].blob_id
        size_bytes = lfs.size if lfs else siblings[name].size
        files.append(RemoteFile(name=name, size_bytes=size_bytes, digest=digest, is_sha256=bool(lfs)))
    return Listing(repository=repository, revision=revision, commit=info.sha, files=tuple(files))


def _cached(repository: str, revision: str) -> Record | None:
    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError):
        return None
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    return Record(
        repository=repository, revision=revision, commit=folder.name, folder=str(folder), sizes_bytes=sizes, digests={}
    )


def _require_room(listings: Iterable[Listing]) -> None:
    """Says what there is to fetch.

    Raises:
        FetchError: the disk has no room for it.
    """
    files = {listing.blob(file): file.size_bytes for listing in listings for file in listing.files}
    if not files:
        return
    missing_bytes = sum(size_bytes - _bytes_here(blob) for blob, size_bytes in files.items())
    _say(
        f"{sum(files.values()) / 1e6:,.1f} MB in {len(files)} files, {missing_bytes / 1e6:,.1f} MB of it to be fetched"
    )
    cache = Path(constants.HF_HUB_CACHE)
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    if missing_bytes and free_bytes < missing_bytes + SPARE_BYTES:
        raise FetchError(
            f"{missing_bytes / 1e9:.2f} GB are to be fetched, the disk of {cache} has {free_bytes / 1e9:.2f} GB free: "
            "free some space, or name another folder in HF_HOME"
        )


def _bytes_here(blob: Path) -> int:
    return next((path.stat().st_size for path in (blob, _part(blob)) if path.exists()), 0)


def _part(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.part")


def _fetched(listing: Listing) -> Record:
    _say(f"{listing.repository} at {listing.commit}")
    folder = Path()
    for number, file in enumerate(listing.files, start=1):
        _say(f"  {number}/{len(listing.files)} {file.name}: {file.size_bytes / 1e6:.1f} MB")
        try:
            _fetch_file(listing, file)
            pointer = hf_hub_download(listing.repository, file.name, revision=listing.commit)
        except HfHubHTTPError as error:
            raise FetchError(_refusal(listing.repository, listing.revision, error)) from None
        except (OSError, HTTPError) as error:
            raise FetchError(
                f"{listing.repository}: {file.name} broke off ({_first_line(error)}): start again to go on"
            ) from None
        folder = Path(pointer).parent
    return Record(
        repository=listing.repository,
        revision=listing.revision,
        commit=listing.commit,
        folder=str(folder),
        sizes_bytes={file.name: file.size_bytes for file in listing.files},
        digests={file.name: file.digest for file in listing.files},
    )


def _fetch_file(listing: Listing, file: RemoteFile) -> None:
    """Puts the file among the cache's blobs, with the checksum that the hub states.

    Raises:
        FetchError: it came with another one, twice.
    """
    blob = listing.blob(file)
    if blob.exists() and not _is_right(blob, file):
        blob.unlink()
    for _ in range(ATTEMPTS):
        if blob.exists():
            return
        part = _part(blob)
        _download(listing, file, part)
        if _is_right(part, file):
            part.replace(blob)
        else:
            part.unlink()
    if not blob.exists():
        raise FetchError(
            f"{listing.repository}: {file.name} came with another checksum than the hub's, {ATTEMPTS} times: "
            "something between here and the hub changes it; fetch it elsewhere and give its folder"
        )


def _is_right(path: Path, file: RemoteFile) -> bool:
    got = digest_of(path, is_sha256=file.is_sha256)
    if got != file.digest:
        _say(f"  {file.name}: its checksum is {got}, the hub's {file.digest}: not used")
    return got == file.digest


def _download(listing: Listing, file: RemoteFile, part: Path) -> None:
    """Into `part`, from where that ends."""
    url = hf_hub_url(listing.repository, file.name, revision=listing.commit)
    headers = build_hf_headers()
    metadata = get_hf_file_metadata(url, headers=headers)
    if urlparse(metadata.location).netloc != urlparse(url).netloc:
        # The store that the hub sends us to has its own signature in the address.
        headers.pop("authorization", None)
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as sink:
        begun_bytes = sink.tell()
        if begun_bytes > file.size_bytes:
            sink.truncate(0)
            begun_bytes = 0
        if begun_bytes:
            _say(f"  {file.name}: goes on at {begun_bytes / 1e6:.1f} MB")
        http_get(metadata.location, sink, resume_size=begun_bytes, headers=headers, expected_size=file.size_bytes)


def _refusal(repository: str, revision: str, error: HfHubHTTPError) -> str:
    page = f"{constants.ENDPOINT}/{repository}"
    status = error.response.status_code
    match error:
        case GatedRepoError() if not get_token():
            return f"{repository} is gated: accept its licence on the hub, then set HF_TOKEN ({page})"
        case GatedRepoError():
            return f"{repository} is closed to the account of HF_TOKEN: accept its licence on {page}, then start again"
        case RevisionNotFoundError():
            return f"{repository} has no revision {revision}: give a commit, tag or branch of it"
        case RepositoryNotFoundError():
            return f"{repository} is not on the hub, or HF_TOKEN may not see it"
        case _ if status in (401, 403):
            return (
                f"{repository}: the hub does not take HF_TOKEN (status {status}): give one that is valid and may read"
            )
    return f"{repository} cannot be fetched ({_first_line(error)}): is the hub reachable? Start again to go on"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
