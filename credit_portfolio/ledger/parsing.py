"""From the columns of a source to typed ones: text, dates and money read the same in any engine.

Engines differ in how they read dates and figures out of text, and some stop at the first that does
not fit. So nothing is left to them: a pattern decides whether a text is a date or a figure, and
only what fits is taken apart and put together, in expressions that mean the same everywhere.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import ibis

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.figures import UNSURE, Marks, date_pattern, grouped, sure_decimal
from credit_portfolio.ledger.arrays import UNITS_IN_ONE
from credit_portfolio.ledger.engines import last_character
from credit_portfolio.ledger.positions import MONEY_TYPE, frame_of
from credit_portfolio.ledger.quality import MONEY_DIGITS, MONEY_PLACES
from credit_portfolio.ledger.reading import Incoming
from credit_portfolio.ledger.schema import DATES, MONEY, Profile

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one

# Years outside are slips of the pen: no open book is older, no due date further off.
_FIRST_DAY = datetime.date(1970, 1, 1)
_DAYS_AHEAD = 5 * 365 + 1

_WHOLE_DIGITS = MONEY_DIGITS - MONEY_PLACES  # before the decimal mark
_TOO_LARGE = 10**_WHOLE_DIGITS

IDS = ("customer_id", "invoice_id")


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier look at all rows has found, so that no later question asks again.

    Attributes
    ----------
    tidy_ids : bool
        No id is blank or has space around it.
    small_money : bool
        No figure is too large.
    amounts_given : bool
        Where there is a settled date there is a settled amount.
    """

    tidy_ids: bool = False
    small_money: bool = False
    amounts_given: bool = False


def parse(
    raw: Table,
    columns: Mapping[str, Expression],
    incoming: Incoming,
    mapped: Mapping[str, int],
    profile: Profile,
    marks: Marks,
    asked: str | None,
    today: datetime.date,
    known: Known | None = None,
) -> Table:
    """Return the rows with typed columns, faults of money, and marks of what was repaired.

    Parameters
    ----------
    raw : table expression
        Columns c0, c1, …, as the source has them, and where each row stands.
    columns : mapping of str to column
        Canonical name -> column of ``raw``.
    incoming, mapped, profile, marks
        What is known of the source: how it is called, read and written.
    asked : str, optional
        The currency to keep; None where the source does not tell currencies.
    today : datetime.date
        What makes a year implausible.
    known : Known, optional
        What an earlier look at all rows has found.
    """
    known = Known() if known is None else known
    for name in IDS:
        _refuse_id_type(columns[name], name, incoming, mapped[name])
    fields: dict[str, Expression] = {}
    trimmed = ibis.literal(False)
    for name in IDS:
        text = columns[name].cast("string")
        if not known.tidy_ids:
            text, loose = _trimmed(text)
            trimmed = trimmed | loose
        fields[name] = text
    timed = ibis.literal(False)
    for name in DATES:
        day, blank, hours = read_date(columns.get(name), profile.date_formats, name, incoming.where)
        fields[name] = day
        fields[f"{name}_blank"] = blank
        timed = timed | hours
    first_day, last_day = plausible_days(today)
    implausible = ibis.literal(False)
    for name in DATES:
        outside = (fields[name] < first_day) | (fields[name] > last_day)
        implausible = implausible | outside.fill_null(False)
    rounded = ibis.literal(False)
    for name in MONEY:
        value, faults, inexact = read_money(
            columns.get(name), marks, name, incoming.where, small=known.small_money
        )
        fields[name] = value
        fields |= {f"{name}_{fault}": condition for fault, condition in faults._asdict().items()}
        rounded = rounded | inexact
    if known.amounts_given:
        fields["settled_amount_blank"] = ibis.literal(False)  # where it would mean something
    fields["disputed"] = _flag(columns.get("disputed"), profile)
    fields["currency"] = currency_word(columns.get("currency"))
    fields["currency_asked"] = ibis.literal(True) if asked is None else fields["currency"] == asked
    fields |= {"trimmed": trimmed, "timed": timed, "rounded": rounded, "implausible": implausible}
    return raw.select(*[raw[name] for name in raw.columns], **fields)


def plausible_days(today: datetime.date) -> tuple[datetime.date, datetime.date]:
    """Return the first and the last day that a date of a book may be."""
    return _FIRST_DAY, today + datetime.timedelta(days=_DAYS_AHEAD)


def is_day(column: Expression) -> bool:
    """Whether a column of the source holds dates, with times of day or without: none unreadable."""
    return bool(column.type().is_date() or column.type().is_timestamp())


def is_text(column: Expression) -> bool:
    """Whether a column of the source holds text."""
    return bool(column.type().is_string())


def _fits(text: Expression, pattern: str) -> Expression:
    """Whether a text fits a pattern; a digit is one of ten in every engine, and blank fits none."""
    return text.re_search(_plain_digits(pattern)).fill_null(False)


def _plain_digits(pattern: str) -> str:
    return pattern.replace(r"\d", "[0-9]")


# --- ids ----------------------------------------------------------------------------------------


_SPACE = " \t\n\r\v\f"  # what Ibis strips
_BLANK = 32


def surely_tidy(text: Expression) -> Expression:
    """Whether a text says something without space around it, where text is compared byte by byte.

    All of _SPACE sorts before "!", and hardly any id begins or ends with what does. Two quick
    looks are enough for DuckDB, which compares so.
    """
    return (text >= "!") & (last_character(text) >= "!")


def _trimmed(text: Expression) -> tuple[Expression, Expression]:
    """Return a text without space around it, NULL where nothing is left, and whether any was cut.

    Only those that may need it are cut: to cut every id takes as long as all the rest together.
    """
    if text._find_backend().name == "duckdb":
        kept = surely_tidy(text).ifelse(text, text.strip())
        return kept.nullif(""), (kept != text).fill_null(False)
    loose = ibis.literal(False)
    for mark in _SPACE:
        loose = loose | text.startswith(mark) | text.endswith(mark)
    # All of _SPACE stands at or before the blank in ASCII, and hardly any id begins or ends there:
    # two numbers to compare take a fifth of the time of twelve texts.
    edge = (text.ascii_str() <= _BLANK) | (text.right(1).ascii_str() <= _BLANK)
    loose = edge.ifelse(loose, False).fill_null(False)
    return loose.ifelse(text.strip(), text).nullif(""), loose


def _refuse_id_type(column: Expression, name: str, incoming: Incoming, index: int) -> None:
    kind = column.type()
    whole = kind.is_integer() or (kind.is_decimal() and kind.scale == 0)
    if index in incoming.floats:
        found = "floats among its cells"
    elif kind.is_string() or whole or kind.is_uuid():
        return
    else:
        found = f"type {kind}"
    raise DataError(
        f"{name} (column {incoming.names[index]!r} of {incoming.where}) has {found}; expected text "
        "or whole numbers, since 123.0 may have been '123' or '0123': read the source with that "
        "column as text, such as dtype=str"
    )


# --- dates --------------------------------------------------------------------------------------

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS_IN_FULL = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_NAMES = {"%b": _MONTHS, "%B": _MONTHS_IN_FULL}
_CENTURY_TURNS = 69  # POSIX: 69 to 99 are years of the 1900s, 00 to 68 of the 2000s

_OF_FOUR = "0[48]|[2468][048]|[13579][26]"  # two digits that four divides, 00 left out
_TEXT_OF = {  # what a directive may be; years and days depend on each other, see below
    "%Y": "[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9]",
    "%y": "[0-9]{2}",
    "%H": "[01]?[0-9]|2[0-3]",
    "%M": "[0-5][0-9]",
    "%S": "[0-5][0-9]",
}
_HOURS = frozenset(("%H", "%M", "%S"))
_LEAP = {"%Y": f"[0-9]{{2}}(?:{_OF_FOUR})|(?:{_OF_FOUR})00", "%y": f"00|{_OF_FOUR}"}
_DAYS = (  # months, and the days that each of them has
    ((1, 3, 5, 7, 8, 10, 12), "0?[1-9]|[12][0-9]|3[01]"),
    ((4, 6, 9, 11), "0?[1-9]|[12][0-9]|30"),
    ((2,), "0?[1-9]|1[0-9]|2[0-8]"),
)
_DIGITS = {"%Y": "[0-9]{4}", "%y": "[0-9]{2}", "%b": "[A-Za-z]{3}", "%B": "[A-Za-z]{3,9}"}


def days_that_are(form: str) -> str:
    """Return the pattern of texts that say a day of the calendar in a format.

    No engine has to find out that there is no 30th of February: the pattern knows.

    >>> pattern = days_that_are("%d.%m.%Y")
    >>> texts = ("29.2.2024", "29.02.2023", "31.04.2024", "1.1.0000")
    >>> [bool(re.match(pattern, text)) for text in texts]
    [True, False, False, False]
    """
    date_pattern(form)  # refuses a format that says no day
    parts = _parts_of(form)
    year = "%Y" if "%Y" in parts else "%y"
    kinds = [(months, days, _TEXT_OF[year]) for months, days in _DAYS]
    kinds.append(((2,), "29", _LEAP[year]))
    variants = []
    for months, days, years in kinds:
        texts = _TEXT_OF | {year: years, "%d": days, "%%": "%"}
        texts |= dict.fromkeys(("%m", "%b", "%B"), "")
        texts["%m"] = "|".join(f"0?{m}" if m < 10 else str(m) for m in months)
        for directive, names in _NAMES.items():
            texts[directive] = "|".join(_any_case(names[m - 1]) for m in months)
        pieces = (f"(?:{texts[p]})" if p in texts else re.escape(p) for p in parts)
        variants.append("".join(pieces))
    return "^(?:" + "|".join(variants) + ")$"


def _parts_of(form: str) -> list[str]:
    return re.findall(r"%.|[^%]+", form, re.DOTALL)


def _midnight(form: str) -> str:
    """Return the pattern of the texts of a format that say no time of day but midnight."""
    pieces = {"%%": "%"} | _DIGITS | dict.fromkeys(_HOURS, "0{1,2}")
    parts = (pieces.get(p, "[0-9]{1,2}") if p[0] == "%" else re.escape(p) for p in _parts_of(form))
    return "^" + "".join(parts) + "$"


def _any_case(name: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in name)


def _part(text: Expression, form: str, directive: str) -> Expression:
    """Return what stands for a directive in a text that fits the format."""
    pieces = []
    for part in _parts_of(form):
        piece = "%" if part == "%%" else _DIGITS.get(part, "[0-9]{1,2}")
        if part == directive:
            piece = f"({piece})"
        pieces.append(piece if part[0] == "%" else re.escape(part))
    return text.re_extract("^" + "".join(pieces) + "$", 1)


def day_in_text(text: Expression, form: str) -> Expression:
    """Return the day that a text says in a format, NULL where it does not fit or no such day is.

    Parameters
    ----------
    text : column of text
    form : str
        As :class:`Profile` takes it, such as ``"%d.%m.%Y"``.
    """
    parts = _parts_of(form)
    if "%Y" in parts:
        year = _part(text, form, "%Y").cast("int32")
    else:
        short = _part(text, form, "%y").cast("int32")
        year = short + (short >= _CENTURY_TURNS).ifelse(1900, 2000)
    if "%m" in parts:
        month = _part(text, form, "%m").cast("int32")
    else:
        directive = "%b" if "%b" in parts else "%B"
        word = _part(text, form, directive).lower()
        names = _NAMES[directive]
        month = ibis.cases(*((word == name, n) for n, name in enumerate(names, start=1)), else_=0)
    day = _part(text, form, "%d").cast("int32")
    fits = _fits(text, days_that_are(form))
    return fits.ifelse(ibis.date(year, month, day), ibis.null("date"))


def shape_of(form: str) -> str:
    """Return what all texts of a format look like: D for digits, A for letters, marks as they are.

    Formats of two shapes have no text in common.

    >>> shape_of("%Y-%m-%d 00:00:00") == shape_of("%d-%m-%Y %H:%M:%S")
    True
    """
    marks = []
    for part in _parts_of(form):
        if part in _NAMES:
            marks.append("A")
        elif part[0] == "%" and part != "%%":
            marks.append("D")
        else:
            letters = re.sub(r"[^\W\d_]", "A", part.replace("%%", "%"))
            marks.append(re.sub(r"\d", "D", letters))
    return re.sub(r"([AD])\1+", r"\1", "".join(marks))


def read_date(
    column: Expression | None, formats: tuple[str, ...], name: str, where: str
) -> tuple[Expression, Expression, Expression]:
    """Return the day (NULL when blank or unreadable), blank or not, and whether hours went."""
    never = ibis.literal(False)
    if column is None:
        return ibis.null("date"), ibis.literal(True), never
    kind = column.type()
    if kind.is_date():
        return column, column.isnull(), never
    if kind.is_timestamp():
        if kind.timezone is not None:
            raise DataError(
                f"{name} of {where} has times with the zone {kind.timezone!r}; expected plain days,"
                " since the day depends on the zone: convert it, such as "
                ".dt.tz_convert(zone).dt.tz_localize(None)"
            )
        day = column.cast("date")
        return day, column.isnull(), (column != day.cast("timestamp")).fill_null(False)
    text = column.cast("string").strip()
    days = {form: day_in_text(text, form) for form in formats}
    first = ibis.coalesce(*days.values()) if len(days) > 1 else days[formats[0]]
    shapes = [shape_of(form) for form in formats]
    for place, form in enumerate(formats):
        if shape_of(form) in shapes[:place]:
            # Two formats that read two days out of one text: not for us to choose.
            first = (days[form] == first).fill_null(True).ifelse(first, ibis.null("date"))
    return first, text.fill_null("") == "", _says_hours(text, days, first)


def _says_hours(text: Expression, days: Mapping[str, Expression], read: Expression) -> Expression:
    """Return whether a text that was read says a time of day, in the format that fits it."""
    hours = ibis.literal(False)
    for form, day in days.items():
        if _HOURS & set(_parts_of(form)):
            fits = day.notnull() & read.notnull()
            hours = hours | (fits & ~_fits(text, _midnight(form)))
    return hours


# --- money --------------------------------------------------------------------------------------


def decimal_marks(
    raw: Table, columns: Mapping[str, Expression], decimal: str | None, incoming: Incoming
) -> Marks:
    """Return how money is written in the text columns, from every figure in them.

    Raises
    ------
    DataError
        When the figures fit both readings, or as many speak for one mark as for the other.
    """
    if decimal is not None and decimal not in (".", ","):
        raise ModelError(f"decimal is {decimal!r}; expected '.' or ','")
    texts = [columns[name].strip() for name in MONEY if name in columns and is_text(columns[name])]
    if decimal is not None:
        if not texts:
            raise ModelError(
                f"decimal is for money written as text; the money of {incoming.where} is numeric: "
                "leave it out"
            )
        incoming.notes.append(f"decimal mark given: {decimal!r}")
        return Marks(decimal, lone_group=True)
    if not texts:
        return Marks()
    patterns = (sure_decimal("."), sure_decimal(","), UNSURE, grouped("."), grouped(","))
    counts = {
        f"n{index}": sum(_fits(text, pattern).sum().fill_null(0) for text in texts)
        for index, pattern in enumerate(patterns)
    }
    seen_figures = frame_of(raw.aggregate(**counts)).iloc[0]
    dot, comma, unsure, dot_grouped, comma_grouped = (int(count) for count in seen_figures)
    if dot == comma and (dot or unsure):
        raise DataError(
            f"the decimal mark of {incoming.where} is not clear: {dot:,} figures can only be read "
            f"with '.', {comma:,} only with ',', and {unsure:,} (like '1.234') with either; "
            "expected one mark: pass decimal='.' or decimal=','"
        )
    mark = "." if dot >= comma else ","
    others = min(dot, comma)
    seen = f"found in {max(dot, comma):,} figures" if dot or comma else "none seen"
    incoming.notes.append(f"decimal mark {mark!r}, {seen}")
    if others:
        incoming.notes.append(
            f"{others:,} figures are written with the other decimal mark and are rejected, as are "
            f"the {unsure:,} that fit both; pass decimal= if {mark!r} is wrong"
        )
    lone_group = bool(dot_grouped if mark == "." else comma_grouped) and not others
    return Marks(mark, lone_group=lone_group, lone_decimal=not others)


class Faults(NamedTuple):
    """What keeps a cell from being money, each a condition; no cell has two.

    Each is a column of its own, so that what a type rules out is a constant and costs nothing.
    """

    blank: Expression
    unreadable: Expression
    too_fine: Expression
    too_large: Expression


def read_money(
    column: Expression | None, marks: Marks, name: str, where: str, *, small: bool = False
) -> tuple[Expression, Faults, Expression]:
    """Return the value (NULL unless readable), what is wrong, and whether it was rounded.

    ``small`` says that no figure is known to be too large.
    """
    never = ibis.literal(False)
    if column is None:
        return ibis.null(MONEY_TYPE), Faults(ibis.literal(True), never, never, never), never
    kind = column.type()
    if kind.is_floating():
        return _float_money(column.cast("float64"))
    if kind.is_integer():
        return *_whole_money(column.cast("int64") if kind.is_signed_integer() else column), never
    if kind.is_decimal():
        return *_decimal_money(column, small), never
    if kind.is_string():
        return *_text_money(column.strip(), marks), never
    raise DataError(f"{name} of {where} has type {kind}; expected numbers, or text")


def _text_money(text: Expression, marks: Marks) -> tuple[Expression, Faults]:
    m, g = re.escape(marks.decimal), re.escape(marks.group)
    readable = _fits(text, rf"^[+-]?(\d+({m}\d+)?|{m}\d+)$") | _fits(text, grouped(marks.decimal))
    if marks.lone_group:
        readable |= _fits(text, rf"^[+-]?[1-9]\d{{0,2}}{g}\d{{3}}$")
    if not marks.lone_decimal:
        readable &= ~_fits(text, UNSURE)
    figures = text.replace(marks.group, "").replace(marks.decimal, ".")
    fine = _fits(figures, r"\.\d{4}\d*[1-9]")
    large = _fits(figures, rf"^[+-]?0*[1-9]\d{{{_WHOLE_DIGITS},}}(\.|$)")
    usable = readable & ~fine & ~large
    value = usable.ifelse(figures, ibis.null("string")).cast(MONEY_TYPE)
    blank = text.fill_null("") == ""
    return value, Faults(blank, ~readable & ~blank, readable & fine, readable & ~fine & large)


def _whole_money(column: Expression) -> tuple[Expression, Faults]:
    inside = (column > -_TOO_LARGE) & (column < _TOO_LARGE)
    value = inside.ifelse(column, ibis.null(column.type())).cast(MONEY_TYPE)
    never = ibis.literal(False)
    return value, Faults(column.isnull(), never, never, (~inside).fill_null(False))


def plain_money(parsed: Table, mapped: Mapping[str, int]) -> dict[str, Expression]:
    """Return the source's own columns of money that ``arrays.money`` reads: the engine need not.

    They are exact decimals of 64 bits, with which nothing can be wrong that their value does not
    show, and binary floats.
    """
    columns = {}
    for name in mapped.keys() & set(MONEY):
        source = parsed[f"c{mapped[name]}"]
        kind = source.type()
        exact = kind.is_decimal() and kind.precision is not None and kind.scale is not None
        if exact and kind.precision <= MONEY_DIGITS and kind.scale <= MONEY_PLACES:
            columns[name] = source
        elif kind.is_floating():
            columns[name] = source.cast("float64")
    return columns


def _decimal_money(column: Expression, small: bool) -> tuple[Expression, Faults]:
    """Take exact decimals as they are, with the checks that their type leaves necessary.

    A numeric column of PostgreSQL may have no fixed number of places, and hold NaN and infinity.
    """
    kind = column.type()
    null = ibis.null(kind)
    blank = column.isnull()
    unreadable = too_large = too_fine = ibis.literal(False)
    if kind.precision is None or kind.scale is None:
        finite = _fits(column.cast("string"), "^-?[0-9.]+$")
        column = finite.ifelse(column, null)
        unreadable = ~finite & ~blank
    fits = not (kind.precision is None or kind.scale is None)
    fits = fits and kind.precision - kind.scale <= _WHOLE_DIGITS
    if not (fits or small):
        too_large = ((column >= _TOO_LARGE) | (column <= -_TOO_LARGE)).fill_null(False)
        column = too_large.ifelse(null, column)
    if kind.scale is None or kind.scale > MONEY_PLACES:
        # As text, since decimals of two scales do not compare; some engines write 1E-7.
        too_fine = _fits(column.cast("string"), rf"\.\d{{{MONEY_PLACES}}}\d*[1-9]|[1-9].*E-")
        column = too_fine.ifelse(null, column)
    return column.cast(MONEY_TYPE), Faults(blank, unreadable, too_fine, too_large)


def _float_money(column: Expression) -> tuple[Expression, Faults, Expression]:
    """Round binary floats to four decimals; NaN is blank, infinity unreadable.

    Halves go up, by arithmetic on whole numbers: engines have three ways to round.
    """
    near = (column.abs() < _TOO_LARGE).ifelse(column, ibis.null("float64"))
    scaled = near * float(UNITS_IN_ONE)
    down = scaled.floor().cast("int64")
    units = down + (scaled - down.cast("float64") >= 0.5).ifelse(1, 0).cast("int64")
    wide = f"decimal(38, {MONEY_PLACES})"
    smallest = ibis.literal(Decimal(1) / UNITS_IN_ONE, type=wide)
    # A figure just below the limit may round up to it.
    fits = (units < _TOO_LARGE * UNITS_IN_ONE) & (units > -_TOO_LARGE * UNITS_IN_ONE)
    value = (fits.ifelse(units, ibis.null("int64")).cast(wide) * smallest).cast(MONEY_TYPE)
    blank = column.isnull() | column.isnan()
    infinite = column.isinf().fill_null(False)
    faults = Faults(blank, infinite, ibis.literal(False), value.isnull() & ~blank & ~infinite)
    return value, faults, (value.cast("float64") != column).fill_null(False)


# --- words --------------------------------------------------------------------------------------


def _flag(column: Expression | None, profile: Profile) -> Expression:
    """Return yes or no, NULL for a word that the profile does not know; blank is no."""
    if column is None:
        return ibis.literal(False)
    kind = column.type()
    if kind.is_boolean():
        return column.fill_null(False)
    if kind.is_floating():  # yes and no with gaps, as pandas may hold them
        column = column.cast("float64")
        column = column.isnan().ifelse(ibis.null("float64"), column)
        column = column.cast("string").re_replace(r"\.0$", "")
    word = column.cast("string").strip().lower().fill_null("")
    return ibis.cases(
        (word == "", False),
        (word.isin([true.lower() for true in profile.true_words]), True),
        (word.isin([false.lower() for false in profile.false_words]), False),
    )


def currency_word(column: Expression | None) -> Expression:
    """Return the currency of each row in capitals, empty where it does not say."""
    if column is None:
        return ibis.literal("")
    return column.cast("string").strip().upper().fill_null("")
