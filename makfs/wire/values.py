"""Values as JSON and back, without loss.

W1  `from_json(T, to_json(value)) == value` for dataclasses of None, bool, int, float, str, bytes, Enum,
    tuples, sets and mappings, nested as one likes.
W2  `from_json` raises WireError and nothing else, whatever it is given.

JSON has neither bytes nor names that are not UTF-8, so these travel as objects with one key:
`{"$text": "..."}` bytes that are UTF-8, `{"$bytes": "<base64>"}` other bytes, `{"$name": "<base64>"}` a
string with surrogate escapes (PEP 383; the base64 is of the name's bytes), `{"$map": [[key, value], ...]}`
a mapping whose keys are not all plain strings. Everything else is itself; a dataclass is an object.
"""

import base64
import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from makfs.wire.errors import WireError

T = TypeVar("T")
Json = Any


def to_json(value: object) -> Json:
    """Return the value as what `json.dumps` takes. Raises WireError for a type it does not know."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if _is_clean(value) else {"$name": _name_base64(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes_to_json(bytes(value))
    if isinstance(value, Enum):
        return to_json(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return _mapping_to_json(value)
    if isinstance(value, set | frozenset):
        return [to_json(item) for item in sorted(value)]
    if isinstance(value, Sequence):
        return [to_json(item) for item in value]
    raise WireError(f"A {type(value).__name__} cannot travel over the control socket.")


def from_json(as_type: type[T], data: Json, where: str = "") -> T:
    """Return `data` as a value of `as_type`, checked. Unknown fields are ignored (a newer peer).

    `where` names the place in error sentences.
    """
    try:
        return typing.cast(T, _build(as_type, data, where or getattr(as_type, "__name__", "value")))
    except RecursionError as error:
        raise WireError("The value is nested too deeply.") from error


def plain(data: Json) -> Json:
    """Return decoded JSON with bytes and odd names as Python values, types unknown."""
    if isinstance(data, list):
        return [plain(item) for item in data]
    if isinstance(data, dict):
        if len(data) == 1:
            (tag,) = data
            if tag in ("$text", "$bytes"):
                return _bytes_from_json(data, tag)
            if tag == "$name":
                return _str_from_json(data, tag)
            if tag == "$map":
                return _plain_map(data)
        return {key: plain(item) for key, item in data.items()}
    return data


def _plain_map(data: Json) -> Json:
    try:
        return {plain(key): plain(item) for key, item in _pairs(data, "$map")}
    except TypeError as error:  # a key that is a list or an object
        raise _wrong("$map", "pairs with plain keys", data) from error


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name_base64(text: str) -> str:
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise WireError(f"{text!a} is not text and not the name of a file.") from error
    if raw.decode("utf-8", "surrogateescape") != text:
        raise WireError(f"{text!a} is not text and not the name of a file.")
    return base64.b64encode(raw).decode("ascii")


def _bytes_to_json(raw: bytes) -> Json:
    try:
        return {"$text": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"$bytes": base64.b64encode(raw).decode("ascii")}


def _mapping_to_json(value: Mapping[Any, Any]) -> Json:
    plain_keys = all(isinstance(key, str) and _is_clean(key) and not key.startswith("$") for key in value)
    if plain_keys:
        return {key: to_json(item) for key, item in value.items()}
    return {"$map": [[to_json(key), to_json(item)] for key, item in value.items()]}


def _wrong(where: str, wanted: str, data: Json) -> WireError:
    shown = ascii(data)
    return WireError(f"{where} must be {wanted}, not {shown if len(shown) <= 60 else shown[:57] + '...'}.")


def _from_base64(text: Json, where: str) -> bytes:
    if not isinstance(text, str):
        raise _wrong(where, "base64", text)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise _wrong(where, "base64", text) from error


def _str_from_json(data: Json, where: str) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, dict) and list(data) == ["$name"]:
        return _from_base64(data["$name"], where).decode("utf-8", "surrogateescape")
    raise _wrong(where, "a string", data)


def _bytes_from_json(data: Json, where: str) -> bytes:
    if isinstance(data, dict) and list(data) == ["$text"] and isinstance(data["$text"], str):
        try:
            return data["$text"].encode("utf-8")
        except UnicodeEncodeError as error:
            raise _wrong(where, "text", data) from error
    if isinstance(data, dict) and list(data) == ["$bytes"]:
        return _from_base64(data["$bytes"], where)
    raise _wrong(where, "bytes", data)


def _pairs(data: Json, where: str) -> list[tuple[Json, Json]]:
    """Return the entries of a mapping in either form."""
    if isinstance(data, dict) and list(data) == ["$map"]:
        entries = data["$map"]
        if isinstance(entries, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in entries):
            return [(key, item) for key, item in entries]
    elif isinstance(data, dict):
        return list(data.items())
    raise _wrong(where, "an object", data)


def _build(as_type: Any, data: Json, where: str) -> Any:
    while hasattr(as_type, "__supertype__"):  # NewType
        as_type = as_type.__supertype__
    origin = typing.get_origin(as_type)
    if origin in (typing.Union, types.UnionType):
        return _build_union(typing.get_args(as_type), data, where)
    if origin is not None:
        return _build_container(origin, typing.get_args(as_type), data, where)
    if as_type in _SCALARS:
        return _SCALARS[as_type](data, where)
    if as_type is Any or as_type is object:
        return plain(data)
    if isinstance(as_type, type) and issubclass(as_type, Enum):
        return _build_enum(as_type, data, where)
    if dataclasses.is_dataclass(as_type):
        return _build_dataclass(typing.cast(type[Any], as_type), data, where)
    raise WireError(f"{where} is of a type that cannot travel over the control socket.")


def _build_union(members: tuple[Any, ...], data: Json, where: str) -> Any:
    if data is None and type(None) in members:
        return None
    real = [member for member in members if member is not type(None)]
    for member in real[:-1]:
        try:
            return _build(member, data, where)
        except WireError:
            continue
    return _build(real[-1], data, where)


def _build_container(origin: Any, args: tuple[Any, ...], data: Json, where: str) -> Any:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key_type, item_type = args
        return {
            _build(key_type, key, where): _build(item_type, item, f"{where}[{key!a}]")
            for key, item in _pairs(data, where)
        }
    if not isinstance(data, list):
        raise _wrong(where, "a list", data)
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(args) != len(data):
            raise _wrong(where, f"a list of {len(args)}", data)
        return tuple(_build(each, item, where) for each, item in zip(args, data, strict=True))
    items = [_build(args[0], item, f"{where}[{index}]") for index, item in enumerate(data)]
    if origin in (set, frozenset):
        return frozenset(items)
    return items if origin is list else tuple(items)


def _build_enum(as_type: type[Enum], data: Json, where: str) -> Enum:
    for member in as_type:
        if type(member.value) is type(data) and member.value == data:
            return member
    raise _wrong(where, "one of " + ", ".join(str(member.value) for member in as_type), data)


@functools.cache
def _fields(as_type: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Return (name, type, required) of a dataclass's fields."""
    hints = typing.get_type_hints(as_type)
    missing = dataclasses.MISSING
    return tuple(
        (field.name, hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(as_type)
    )


def _build_dataclass(as_type: type[Any], data: Json, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    values: dict[str, Any] = {}
    for name, hint, required in _fields(typing.cast(Hashable, as_type)):
        if name in data:
            values[name] = _build(hint, data[name], f"{where}.{name}")
        elif required:
            raise WireError(f"{where} lacks {name!r}.")
    return as_type(**values)


def _int(data: Json, where: str) -> int:
    if isinstance(data, bool) or not isinstance(data, int):
        raise _wrong(where, "a whole number", data)
    return data


def _float(data: Json, where: str) -> float:
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise _wrong(where, "a number", data)
    try:
        return float(data)
    except OverflowError as error:
        raise _wrong(where, "a number", data) from error


def _bool(data: Json, where: str) -> bool:
    if not isinstance(data, bool):
        raise _wrong(where, "true or false", data)
    return data


def _none(data: Json, where: str) -> None:
    if data is not None:
        raise _wrong(where, "null", data)


_SCALARS: dict[Any, Any] = {
    str: _str_from_json,
    bytes: _bytes_from_json,
    int: _int,
    float: _float,
    bool: _bool,
    type(None): _none,
}
