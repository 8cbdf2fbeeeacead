"""Nested tables of a settings file to dataclasses: every key is known, and every value fits."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from credit_portfolio.errors import ModelError, did_you_mean, listing

_WORDS: Mapping[Any, str] = {
    float: "a number",
    int: "a whole number",
    str: "text",
    bool: "true or false",
    datetime.date: "a day such as 2023-12-31",
}
_MANY: Mapping[Any, str] = {float: "numbers", int: "whole numbers", str: "texts"}


def build(kind: Any, content: Mapping[str, Any], where: str, prefix: str = "") -> Any:
    """Make a dataclass of a table of plain types.

    Parameters
    ----------
    kind : type
        A dataclass, whose fields say what fits.
    content : mapping
    where : str
        Where the table stands, for messages.
    prefix : str
        What its keys are below, ``"model."`` say.

    Raises
    ------
    ModelError
        For a key that is not known or missing, or a value that does not fit.
    """
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if key not in hints:
            raise ModelError(
                f"unknown key {name!r} in {where}; known are {listing(hints, 40)}."
                f"{did_you_mean(str(key), hints)}"
            )
        values[key] = _value(value, hints[key], where, name)
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in values
    ]
    if missing:
        raise ModelError(f"{prefix.rstrip('.')} in {where} lacks {listing(missing)}")
    try:
        return kind(**values)
    except ModelError as error:
        raise ModelError(f"{prefix.rstrip('.')} in {where}: {error}") from error


def _value(value: Any, hint: Any, where: str, name: str) -> Any:
    if isinstance(value, dict):
        for part in _parts(hint):
            if dataclasses.is_dataclass(part):
                return build(part, value, where, f"{name}.")
            if get_origin(part) is dict:
                inner = get_args(part)[1]
                return {k: _value(v, inner, where, f"{name}.{k}") for k, v in value.items()}
    if not any(_fits(value, part) for part in _parts(hint)):
        raise ModelError(f"{name} in {where} is {value!r}; expected {_in_words(hint)}")
    return value


def _parts(hint: Any) -> tuple[Any, ...]:
    # A union with a Literal in it is typing's own, others are the language's.
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is list:
        item = get_args(hint)[0]
        return isinstance(value, list) and all(_fits(entry, item) for entry in value)
    if get_origin(hint) is dict or dataclasses.is_dataclass(hint):
        return False  # tables are read above
    if hint in (float, int) and isinstance(value, bool):
        return False
    if hint is float:  # what is not finite has no place in a record of the run
        return isinstance(value, (int, float)) and math.isfinite(value)
    if hint is datetime.date:
        return type(value) is datetime.date  # with a time of day it is none
    return isinstance(value, hint)


def _in_words(hint: Any) -> str:
    words = []
    for part in _parts(hint):
        if get_origin(part) is Literal:
            words += [repr(choice) for choice in get_args(part)]
        elif get_origin(part) is list:
            item = get_args(part)[0]
            words.append(f"a list of {_MANY.get(item, str(item))}")
        elif get_origin(part) is dict or dataclasses.is_dataclass(part):
            words.append("a table")
        elif part is not NoneType:
            words.append(_WORDS.get(part, str(part)))
    return " or ".join(words)
