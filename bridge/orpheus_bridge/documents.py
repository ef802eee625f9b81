"""The pages of `docs/` that are made from the code: what is written there cannot fall behind it."""

from collections.abc import Iterator, Mapping
from typing import Any

from orpheus_bridge import errors
from orpheus_bridge.app import create_app
from orpheus_bridge.settings import WITHOUT_EFFECT, Settings, documented

METHODS = ("get", "post", "put", "delete")

NOTE = "<!-- Made by `orpheus-bridge docs docs`; change the code instead. -->\n"

API_INTRODUCTION = """
The bridge listens on port 8000. Success is 200 and nothing else. Paths under `/api/` and `/v1/`, and `/stats`, want
`Authorization: Bearer KEY` where a key is set; `/health…`, `/metrics` and `/openapi.json` are open.

Every answer has `X-Request-Id`: the caller's own, if it sent one of 1 to 64 letters, digits, `.`, `_` and `-`.
Speech can be ended by that id while it lasts.

An error under `/v1/` has OpenAI's shape, any other `{"status": "error", "code", "detail", "param"}`, where `detail`
reads `field: value: fix`:

| code | status | meaning |
|---|---|---|
"""

CONFIGURATION_INTRODUCTION = """
The bridge reads these from the environment; an empty one counts as not set. `orpheus-bridge settings` shows each with
its value and origin. Triton's own (`ORPHEUS_MODEL`, `VLLM_…`, `WARMUP_ON_STARTUP`, `HF_…`) are the launcher's.

| variable | default | meaning |
|---|---|---|
"""


def pages() -> Mapping[str, str]:
    """File name to contents."""
    return {"api.md": api_page(), "configuration.md": configuration_page()}


def api_page() -> str:
    """Every route with its fields, from the OpenAPI document."""
    document = openapi()
    lines = [f"# API\n\n{NOTE}{API_INTRODUCTION.rstrip()}", *_errors(), ""]
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                lines += _route(method, path, methods[method], document["components"]["schemas"])
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """Every environment variable."""
    rows = [f"| `{v.name}` | {_code(v.value)} | {v.meaning} |" for v in documented(Settings)]
    unused = [f"| `{name}` | {instead} |" for name, instead in WITHOUT_EFFECT.items()]
    table = f"# Configuration\n\n{NOTE}{CONFIGURATION_INTRODUCTION.rstrip()}\n" + "\n".join(rows)
    ended = "\n\n## Without effect\n\nVariables of the older service that mean nothing any more:\n\n"
    return table + ended + "| variable | instead |\n|---|---|\n" + "\n".join(unused) + "\n"


def openapi() -> dict[str, Any]:
    """The document that `/openapi.json` serves."""

    def never() -> Any:
        raise AssertionError("the document is made without opening anything")

    return create_app(never).openapi()


def _errors() -> Iterator[str]:
    for kind in errors.BridgeError.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield f"| `{kind.code}` | {kind.http_status} | {str(kind.__doc__).strip().splitlines()[0]} |"


def _route(method: str, path: str, route: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[str]:
    lines = [f"## `{method.upper()} {path}`", "", str(route.get("description", "")), ""]
    for media_type, content in route.get("requestBody", {}).get("content", {}).items():
        lines += [f"Request, `{media_type}`:", "", "| field | type | default | meaning |", "|---|---|---|---|"]
        lines += [*_fields(content["schema"], schemas, with_defaults=True), ""]
    answer = route["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in answer:
        lines += ["Answer, `application/json`:", "", "| field | type | meaning |", "|---|---|---|"]
        lines += [*_fields(answer, schemas, with_defaults=False), ""]
    return lines


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, with_defaults: bool) -> Iterator[str]:
    properties = _resolved(schema, schemas)
    required = properties.get("required", [])
    for name, field in properties["properties"].items():
        default = "required" if name in required else _code(_json(field.get("default")))
        cells = [f"`{name}`", _type(field, schemas), *([default] if with_defaults else [])]
        yield f"| {' | '.join(cells)} | {field.get('description', '')} |"


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        found: Mapping[str, Any] = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return found
    return schema


def _type(field: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        kinds = [_type(option, schemas) for option in field["anyOf"] if option.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    resolved = _resolved(field, schemas)
    if resolved.get("type") == "array":
        return f"list of {_type(resolved['items'], schemas)}"
    if "properties" in resolved:
        return "{" + ", ".join(f"`{name}`" for name in resolved["properties"]) + "}"
    limits = [str(resolved[bound]) for bound in ("minimum", "maximum") if bound in resolved]
    kind = "file" if "contentMediaType" in resolved or resolved.get("format") == "binary" else resolved["type"]
    return f"{kind}, {' to '.join(limits)}" if limits else str(kind)


def _json(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(value: str) -> str:
    return f"`{value}`" if value else ""
