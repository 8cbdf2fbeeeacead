"""Read the cells of a statement: an id, a date, an amount. What cannot be read is not guessed.

Each reader returns the value and a problem: half a sentence such as ``'abc' is not a number``,
empty where the cell could be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from math import isinf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.figures import UNSURE, Marks, date_pattern, grouped, readable, sure_decimal

# What exports write for "nothing here". An amount of 0 is written 0.
_BLANKS = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>", "nat"})
_INFINITIES = frozenset({"inf", "infinity"})
# Above any balance sheet in any currency; sums and ratios below it cannot overflow.
LARGEST_AMOUNT = 1e30
_YEAR = re.compile(r"\d{4}", re.ASCII)
_ISO_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ].*)?", re.ASCII)
_DOTTED_DATE = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})", re.ASCII)
# A year outside this range is a date in another guise (20140331) or an amount in the wrong column.
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
_LONGEST_SHOWN = 60

DayReader = Callable[[object], date | None]
AmountReader = Callable[[object], tuple[float, str]]


def shown(value: object) -> str:
    """Return a cell as messages show it; a long one is cut.

    >>> shown("abc"), shown(float("inf"))
    ("'abc'", 'inf')
    """
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def is_blank(value: object) -> bool:
    """Tell whether a cell says nothing.

    >>> [is_blank(value) for value in (None, " ", "n/a", 0)]
    [True, True, True, False]
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str):
        return value.strip().lower() in _BLANKS
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def read_id(value: object) -> tuple[str, str]:
    r"""Read a customer's id: text without the white space around it, or a whole number.

    >>> read_id(" 007\u00a0"), read_id(7), read_id(7.0)[1]
    (('007', ''), ('7', ''), '7.0 is neither text nor a whole number')
    """
    if isinstance(value, str):
        text = value.strip()
        return text, "" if text else "is blank"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(value), ""
    if is_blank(value):
        return "", "is blank"
    # 123.0 was an id that some reader turned into a number: which zeros it had is lost.
    return "", f"{shown(value)} is neither text nor a whole number"


# ---------------------------------------------------------------------------------- amounts


def decimal_marks(texts: Iterable[str], decimal: str | None, where: str) -> Marks:
    """Return how money is written in a file, from every figure in it.

    Parameters
    ----------
    texts : iterable of str
        All cells of money.
    decimal : str, optional
        The mark, where the caller knows it.
    where : str
        How messages name the file.

    Raises
    ------
    DataError
        When the figures fit both readings, or as many speak for one mark as for the other.
    ModelError
        For a mark other than '.' and ','.

    Examples
    --------
    >>> decimal_marks(["2.400,50", "800"], None, "the file").decimal
    ','
    """
    if decimal is not None:
        if decimal not in (".", ","):
            raise ModelError(f"decimal is {decimal!r}; expected '.' or ','")
        return Marks(decimal, lone_group=True)
    figures = [text.strip() for text in texts]

    def matching(pattern: str) -> list[str]:
        fits = re.compile(pattern, re.ASCII)
        return [figure for figure in figures if fits.search(figure)]

    # 0.800 is eight tenths, but also what the German number format '0.000' makes of 800: beside
    # figures like 2.400 it decides nothing.
    padded = re.compile(r"[+-]?0[.,]\d{3}")
    sure = {mark: matching(sure_decimal(mark)) for mark in ".,"}
    strong = any(not padded.fullmatch(figure) for mark in ".," for figure in sure[mark])
    unsure = matching(UNSURE)
    dot, comma = len(sure["."]), len(sure[","])
    if (unsure and not strong) or (dot and dot == comma):
        if not strong:
            unsure += sure["."] + sure[","]
            dot = comma = 0
        example = f" (such as {unsure[0]!r})" if unsure else ""
        raise DataError(
            f"the decimal mark of {where} is not clear: of its figures {dot:,} can only have '.', "
            f"{comma:,} only ',', and {len(unsure):,}{example} either; expected one mark: "
            "pass decimal='.' or decimal=',' where the statements are read"
        )
    mark, others = ("." if dot >= comma else ","), min(dot, comma)
    return Marks(
        mark, lone_group=bool(matching(grouped(mark))) and not others, lone_decimal=not others
    )


def amount_reader(marks: Marks) -> AmountReader:
    """Return the reader of one amount: a number, or text with these marks; blank is NaN.

    >>> read = amount_reader(Marks(","))
    >>> read("2400,50"), read(" "), read("2400.5")
    ((2400.5, ''), (nan, ''), (nan, "'2400.5' is not a number with the decimal mark ','"))
    """
    plain = re.compile(readable(marks), re.ASCII)
    # Programs write large floats so; there is no second way to read it.
    power = re.compile(rf"[+-]?\d+({re.escape(marks.decimal)}\d+)?[eE][+-]?\d+", re.ASCII)

    def read(value: object) -> tuple[float, str]:
        if is_blank(value):
            return nan, ""
        if isinstance(value, str):
            text = value.strip()
            if plain.search(text) or power.fullmatch(text):
                number = float(text.replace(marks.group, "").replace(marks.decimal, "."))
            elif text.lstrip("+-").lower() in _INFINITIES:
                number = float("inf")
            else:
                other = f" with the decimal mark {marks.decimal!r}" if _is_marked(text) else ""
                return nan, f"{shown(value)} is not a number{other}"
        else:
            number = _number(value)
        if isnan(number):
            blank = isinstance(value, Decimal) and value.is_nan()
            return nan, "" if blank else f"{shown(value)} is not a number"
        if isinf(number):
            return nan, f"{shown(value)} is not finite"
        if abs(number) > LARGEST_AMOUNT:
            return nan, f"{shown(value)} is no amount of money (above 1e30)"
        return number, ""

    return read


def _is_marked(text: str) -> bool:
    """Tell whether a text holds digits and marks only, so that the marks are what is wrong."""
    return bool(re.fullmatch(r"[+-]?[\d.,]*\d[\d.,]*", text, re.ASCII))


def _number(value: object) -> float:
    if isinstance(value, bool | np.bool_):
        return nan
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return float("inf")
    except (TypeError, ValueError):
        return nan


def read_amounts(column: pd.Series[Any], read: AmountReader) -> tuple[pd.Series[Any], list[str]]:
    """Read a column of money; return the numbers and each cell's problem."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fi":
        numbers = column.to_numpy(dtype=float)
        problems = [""] * len(column)
        for place in np.flatnonzero(np.abs(numbers) > LARGEST_AMOUNT):
            problems[place] = read(numbers[place])[1]
        return pd.Series(np.where(np.abs(numbers) > LARGEST_AMOUNT, nan, numbers)), problems
    cells = [read(value) for value in column.tolist()]
    return pd.Series([number for number, _ in cells], dtype=float), [text for _, text in cells]


# ---------------------------------------------------------------------------------- dates


def day_reader(date_format: str | Sequence[str] | None) -> DayReader:
    """Return the reader of one date; None is what it makes of anything else.

    Parameters
    ----------
    date_format : str or sequence of str, optional
        Such as ``"%d/%m/%Y"``, for text. Without it: 2023-12-31 (hours are dropped), 20231231,
        31.12.2023, or a year, which is its last day.

    Raises
    ------
    ModelError
        For a format that holds an unknown directive, or not a year, a month and a day.

    Examples
    --------
    >>> day_reader("%d/%m/%Y")("31/12/2023"), day_reader(None)(2023)
    (datetime.date(2023, 12, 31), datetime.date(2023, 12, 31))
    """
    if date_format is None:
        return _usual_day
    formats = (date_format,) if isinstance(date_format, str) else tuple(date_format)
    if not formats:
        raise ModelError("date_format is empty; expected at least one such as '%d.%m.%Y'")
    patterns = {form: re.compile(date_pattern(form), re.ASCII) for form in formats}

    def read(value: object) -> date | None:
        if not isinstance(value, str):
            return _usual_day(value) if isinstance(value, date | np.datetime64) else None
        text = value.strip()
        # Two formats that read two days out of one text: not for us to choose.
        days = {_parsed(text, form) for form, fits in patterns.items() if fits.search(text)}
        days.discard(None)
        return _plausible(days.pop()) if len(days) == 1 else None

    return read


def _parsed(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None


def _plausible(day: date | None) -> date | None:
    return day if day is not None and _FIRST_YEAR <= day.year <= _LAST_YEAR else None


def _usual_day(value: object) -> date | None:
    if isinstance(value, bool | np.bool_):
        return None
    text = str(value).strip()
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))  # a year in a column with a blank somewhere
    if _YEAR.fullmatch(text):
        text += "-12-31"
    if match := _ISO_DATE.fullmatch(text):
        parts = match.groups()
    elif match := _DOTTED_DATE.fullmatch(text):
        parts = match.groups()[::-1]
    else:
        return None
    try:
        return _plausible(date(*(int(part) for part in parts)))
    except ValueError:
        return None


def read_days(column: pd.Series[Any], read: DayReader) -> tuple[pd.Series[Any], list[str]]:
    """Read a column of dates; return datetime64[s] with NaT, and each cell's problem."""
    if pd.api.types.is_datetime64_any_dtype(column):
        days = column.dt.tz_localize(None).dt.normalize()
    else:
        # Most statements are of the same few days.
        known = {value: read(value) for value in {v for v in column.tolist() if isinstance(v, str)}}
        found = [known[v] if isinstance(v, str) else read(v) for v in column.tolist()]
        days = pd.Series(np.array(found, dtype="datetime64[s]"))
    problems = [
        "" if fine else "is blank" if is_blank(value) else f"{shown(value)} is no date"
        for fine, value in zip(days.notna().tolist(), column.tolist(), strict=True)
    ]
    return days.astype("datetime64[s]"), problems
