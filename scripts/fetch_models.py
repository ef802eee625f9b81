"""Fetches a model from the Hugging Face hub into its own cache; the last line printed is the model's folder.

Runs in the server's environment. Only what serving needs is fetched: the released Orpheus repositories hold optimizer
state of a hundred gigabytes besides. Honours HF_TOKEN and HF_HOME; an interrupted download goes on where it was.
"""

import argparse
import sys

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "pytorch_model.bin")
"""SNAC's weights come as pytorch_model.bin, Orpheus's as safetensors."""


def main() -> int:
    """Exit status 1 and a sentence if it cannot be had."""
    parser = argparse.ArgumentParser(description="Fetches a model from the hub.")
    parser.add_argument("repository", help="owner/name")
    parser.add_argument("--revision", default="main", help="commit, tag or branch (default: %(default)s)")
    options = parser.parse_args()
    try:
        print(snapshot_download(options.repository, revision=options.revision, allow_patterns=list(PATTERNS)))
    except GatedRepoError:
        return _refuse(f"{options.repository} is gated: accept its licence on the hub, then set HF_TOKEN")
    except RepositoryNotFoundError:
        return _refuse(f"{options.repository} is not on the hub, or HF_TOKEN may not see it")
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        return _refuse(f"{options.repository} cannot be fetched ({str(error).splitlines()[0]}): is the hub reachable?")
    return 0


def _refuse(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
