"""The public face: what is exported, and the error tree as it is drawn."""

import re
import types

import grpc
import pytest

import orpheus_client
from orpheus_client import SpeechError, _errors

pytestmark = pytest.mark.unit


def test_all_names_what_can_be_imported() -> None:
    public = {
        name
        for name, value in vars(orpheus_client).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(orpheus_client.__all__) == public
    assert sorted(orpheus_client.__all__) == sorted(set(orpheus_client.__all__))


def test_every_error_is_public_and_drawn_as_it_is() -> None:
    drawn = re.findall(
        r"^([│├└─ ]*)(\w+) +(\w+) +(\d{3}) +([A-Z_]+) +(yes|no)$", str(_errors.__doc__), flags=re.MULTILINE
    )
    rows = {name: (code, int(http), status, retry) for _, name, code, http, status, retry in drawn}
    known = {
        kind.__name__: (kind.code, kind.http_status, kind.grpc_status.name, "yes" if kind.retryable else "no")
        for kind in _subclasses(SpeechError)
    }
    assert rows == known
    assert set(known) <= set(orpheus_client.__all__)
    parents: list[str] = []
    for indent, name, *_ in drawn:
        depth = len(indent) // 4
        parents[depth - 1 :] = [name]
        parent = parents[depth - 2] if depth > 1 else "SpeechError"
        assert getattr(_errors, name).__mro__[1].__name__ == parent


def test_codes_are_unique_and_statuses_are_real() -> None:
    kinds = _subclasses(SpeechError)
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(isinstance(kind.grpc_status, grpc.StatusCode) for kind in kinds)


def _subclasses(kind: type[SpeechError]) -> list[type[SpeechError]]:
    return [found for direct in kind.__subclasses__() for found in (direct, *_subclasses(direct))]
