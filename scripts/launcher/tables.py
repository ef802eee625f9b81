"""TOML tables as frozen dataclasses: every key known, every value of its declared type."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from launcher.errors import LaunchError

T = TypeVar("T")


def read_table(cls: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """The dataclass `cls` from a table; `where` names the table in messages, with a trailing dot.

    Raises:
        LaunchError: an unknown key (the valid ones are listed), a missing one, or a value of another type.
    """
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]  # cls is a dataclass
    if unknown := sorted(table.keys() - known.keys()):
        raise LaunchError(f"{where}{unknown[0]}: no such key; valid: {', '.join(known)}")
    required = {name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - table.keys()):
        raise LaunchError(f"{where}{missing[0]}: is missing")
    hints = get_type_hints(cls)
    return cls(**{name: read_value(hints[name], value, f"{where}{name}") for name, value in table.items()})


def read_value(hint: Any, value: Any, where: str) -> Any:  # noqa: PLR0911  (one return per kind of value)
    """A TOML value as the type that `hint` declares.

    Raises:
        LaunchError: it is of another type, or not one of a literal's values.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    match value:
        case _ if origin in (Union, types.UnionType):
            return read_value(arguments[0], value, where)
        case _ if origin is Literal and value in arguments:
            return value
        case dict() if is_dataclass(hint):
            return read_table(hint, value, f"{where}.")  # type: ignore[arg-type]  # a class, not an instance
        case dict() if origin is Mapping:
            return {key: read_value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
        case list() if origin is tuple:
            return tuple(read_value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
        case int() if hint is float and not isinstance(value, bool):
            return float(value)
        case bool() | int() | float() | str() if type(value) is hint:
            return value
    raise LaunchError(f"{where}: {value!r} is not {_described(hint)}")


def _described(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if is_dataclass(hint):
        return "a table"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(hint, str(hint))
