"""Dates of two formats in one file: what was rejected may say that what was read is in doubt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any, TypeAlias

import pandas as pd

from credit_portfolio.ledger.parsing import days_that_are, shape_of
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.quality import LedgerQuality
from credit_portfolio.ledger.record import FINDINGS

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one

USUAL_FORMATS = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d-%b-%Y",
    "%d-%m-%Y %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%d.%m.%y",
    "%m/%d/%y",
)
"""What a date that does not fit the profile is held against."""

MOST_TRIED = 10_000  # rejected dates of a column, the first ones: enough to tell a format by


def mixed_dates(
    rejected: pd.DataFrame, columns: Mapping[str, str], formats: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return what rejected dates say about the formats of a file.

    Parameters
    ----------
    rejected : pandas.DataFrame
        The rejected rows, with their rule and the source's columns as text.
    columns : mapping of str to str
        Canonical name of a date -> column of ``rejected``.
    formats : sequence of str
        Those of the profile.

    Returns
    -------
    notes : list of str
        One for each column of which rejected dates fit another usual format.
    doubtful : list of str
        Names of the dates of which accepted ones may be read the wrong way round: some rejected
        ones fit only the profile's format with day and month exchanged.

    Examples
    --------
    >>> rejected = pd.DataFrame({"rule": ["unreadable_due_date"], "Due": ["25/03/2024"]})
    >>> mixed_dates(rejected, {"due_date": "Due"}, ("%m/%d/%Y",))[1]
    ['due_date']
    """
    notes: list[str] = []
    doubtful: list[str] = []
    shapes = {shape_of(form) for form in formats}
    for name, column in columns.items():
        texts = texts_of(rejected.loc[rejected["rule"] == f"unreadable_{name}", column])
        fits = {form: _fitting(texts, form) for form in USUAL_FORMATS if form not in formats}
        best = max(fits, key=lambda form: fits[form], default="")
        if not best or not fits[best]:
            continue
        known = ", ".join(repr(form) for form in formats)
        notes.append(
            f"{name} is written in more than one format: {fits[best]:,} of {len(texts):,} rejected "
            f"ones fit {best!r}, not {known}; pass date_format=[{known}, {best!r}] if both are "
            "meant"
        )
        if shape_of(best) in shapes:
            doubtful.append(name)
    return notes, doubtful


def dates_as_written(rejected: pd.DataFrame, columns: Mapping[str, str]) -> list[str]:
    """Return the dates of rows that were rejected for a date, for :func:`format_meant`.

    A row is rejected under its first unreadable date, so that every date of it is looked at.
    """
    rows = rejected[rejected["rule"].isin([f"unreadable_{name}" for name in columns])]
    return [text for column in columns.values() for text in texts_of(rows[column])]


def format_meant(texts: Sequence[str], formats: Sequence[str]) -> str:
    """Return a hint at the format that would read dates, empty when no usual one would.

    Parameters
    ----------
    texts : sequence of str
        Dates as they are written.
    formats : sequence of str
        Those of the profile.

    Examples
    --------
    >>> format_meant(["31.12.2023", "1.2.2024"], ["%Y-%m-%d"])
    "all 2 unreadable dates look like '%d.%m.%Y': pass date_format='%d.%m.%Y'"
    """
    known = [form for form in formats if _fitting(texts, form)]
    patterns = [re.compile(days_that_are(form)) for form in known]
    strange = [text for text in texts if not any(pattern.match(text) for pattern in patterns)]
    fits = {form: _fitting(strange, form) for form in USUAL_FORMATS if form not in formats}
    most = max(fits.values(), default=0)
    if not most:
        return ""
    best = [form for form, count in fits.items() if count == most]
    which = f"all {most:,}" if most == len(strange) else f"{most:,} of {len(strange):,}"
    told = f"{which} unreadable dates look like {' or '.join(map(repr, best))}: pass date_format="
    if len(best) > 1 or most < len(strange):
        return f"{told} with what is meant"
    if not known:
        return f"{told}{best[0]!r}"
    return f"{told}[{', '.join(map(repr, [*known, *best]))}]"


def texts_of(cells: pd.Series[Any]) -> list[str]:
    """Return the texts of cells that are not blank, as many as tell a format."""
    texts = (str(cell).strip() for cell in cells.dropna().head(MOST_TRIED))
    return [text for text in texts if text]


def _fitting(texts: Sequence[str], form: str) -> int:
    pattern = re.compile(days_that_are(form))
    return sum(pattern.match(text) is not None for text in texts)


def with_doubt(quality: LedgerQuality, accepted: Table, names: Sequence[str]) -> LedgerQuality:
    """Return the record with the accepted rows of which a date may be read the wrong way round.

    Parameters
    ----------
    quality : LedgerQuality
    accepted : table expression
        The accepted rows.
    names : sequence of str
        The dates that are in doubt, at least one.
    """
    doubt = accepted.filter(reduce(or_, [_two_days(accepted[name]) for name in names]))
    row = frame_of(doubt.aggregate(rows=doubt.count(), money=doubt.amount.sum())).iloc[0]
    if not row["rows"]:
        return quality
    line = ("dates_in_doubt", int(row["rows"]), row["money"], FINDINGS["dates_in_doubt"])
    lines = [*quality.findings.itertuples(index=False, name=None), line]
    return replace(quality, findings=pd.DataFrame(lines, columns=list(quality.findings.columns)))


def _two_days(date: Expression) -> Expression:
    """Return whether a date is another day of the calendar with day and month exchanged."""
    day, month = date.day(), date.month()
    return ((day <= 12) & (day != month)).fill_null(False)
