"""The tables of docs/operations.md say what the code says."""

import ast
from dataclasses import MISSING, fields

import pytest

from launcher.arguments import DEFAULT_BRIDGE_PORT, DEFAULT_GRPC_PORT
from launcher.paths import CHECKOUT, SCRIPTS, Home
from launcher.ports import Ports
from launcher.profile import Streams, available, load
from launcher.server_environment import OVERRIDE
from launcher.settings import VARIABLES, settle

pytestmark = pytest.mark.unit

PAGE = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")


def table(*header: str) -> list[list[str]]:
    """Cells, without backquotes, of the table that begins with these column names."""
    _, _, rest = PAGE.partition(f"| {' | '.join(header)} |\n")
    assert rest, header
    lines = rest.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def told_by_the_launcher() -> str:
    """Every piece of text in the launcher's source, f-strings and broken lines joined."""
    parts = []
    for path in [*SCRIPTS.joinpath("launcher").glob("*.py"), SCRIPTS / "fetch_models.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts.append("".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts.append(node.value)
    return "\n".join([*parts, (SCRIPTS / "launcher" / "start").read_text(encoding="utf-8")])


def test_every_variable_stands_there_with_its_place_in_the_profile() -> None:
    rows = {name: key for name, key, _ in table("variable", "in the profile", "values")}
    reported = [setting.name for setting in settle(load("cpu"), {}).settings]
    assert list(rows) == reported
    assert {v.name: ".".join(v.key) for v in VARIABLES} == {name: key for name, key in rows.items() if key}


def test_the_start_s_own_variables_are_read() -> None:
    names = [name for name, _ in table("variable", "meaning")]
    assert OVERRIDE in names
    source = "".join(path.read_text(encoding="utf-8") for path in (SCRIPTS / "launcher").iterdir() if path.is_file())
    assert all(name in source for name in names)


def test_every_profile_stands_there_with_its_description() -> None:
    described = [[name, load(name).profile.description] for name in available()]
    assert [row for row in table("profile", "for") if row in described] == described


def test_every_key_of_the_streams_stands_there_with_its_default() -> None:
    defaults = {f.name: "" if f.default in (None, MISSING) else str(f.default) for f in fields(Streams)}
    assert {key: default for key, default, _ in table("key", "default", "meaning")} == defaults


def test_the_ports_are_the_default_ones() -> None:
    ports = Ports.from_grpc(DEFAULT_GRPC_PORT)
    shown = {option: int(port) for port, option, _ in table("port", "option", "what")}
    bridge = {"--bridge-port": DEFAULT_BRIDGE_PORT}
    assert shown == {**bridge, "--port": ports.grpc, "--metrics-port": ports.metrics, "--http-port": ports.http}


def test_the_folders_of_the_data_home_are_all_there() -> None:
    home = Home(CHECKOUT)
    made = {home.environments, home.models, home.repositories, home.logs, home.runs}
    shown = {name.rstrip("/") for name, *_ in table("folder", "what", "may be removed")}
    assert shown == {path.name for path in made} | {"perf", "postgres"}


@pytest.mark.parametrize("message", [message for message, _ in table("message", "what to do")])
def test_a_message_that_is_explained_is_one_that_is_told(message: str) -> None:
    assert message in told_by_the_launcher()
