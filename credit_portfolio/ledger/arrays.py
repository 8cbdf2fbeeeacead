"""Columns that the embedded engine hands over, as arrays of numbers: its own memory, not copied."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from credit_portfolio.ledger.quality import MONEY_DIGITS, MONEY_PLACES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Units = NDArray[np.int64]

UNITS_IN_ONE = 10**MONEY_PLACES
"""Smallest units in one of money."""

NEVER = int(np.iinfo(np.int32).max)
"""The day of what has not happened; DuckDB's infinity is the same number, and no plausible day."""

TOO_MANY_UNITS = 10**MONEY_DIGITS
"""Money from here on, in units, is more than a ledger takes."""

_EPOCH = datetime.date(1970, 1, 1)
_WHOLE = 2**63  # from here on a sum does not fit into 64 bits
_HALF = 2**31
_HALF_A_UNIT = 0.5
_WIDE = 128  # bits of a decimal, unless DuckDB is asked for no more than it needs
_EXACT = 2**53  # whole numbers up to here are floats too


def days(column: Any) -> NDArray[np.int32]:
    """Return dates as days since 1970-01-01, :data:`NEVER` where blank.

    >>> import datetime, pyarrow
    >>> days(pyarrow.array([datetime.date(1970, 1, 3), None]))[0]
    np.int32(2)
    """
    values = np.frombuffer(column.buffers()[1], np.int32, len(column), 4 * column.offset)
    return values if not column.null_count else np.where(given(column), values, np.int32(NEVER))


def day_number(day: datetime.date) -> int:
    """Return a day as :func:`days` counts it.

    >>> day_number(datetime.date(1970, 1, 3))
    2
    """
    return (day - _EPOCH).days


class Money(NamedTuple):
    """Money of a column in its smallest units, and how small and large it gets.

    Where it gets to :data:`TOO_MANY_UNITS` the units do not fit and mean nothing. ``blank`` and
    ``rounded`` tell the cells that say nothing, which come to 0, and those of binary floats that
    are not a whole number of units; None for none.
    """

    units: Units
    least: int
    most: int
    blank: NDArray[np.bool_] | None = None
    rounded: NDArray[np.bool_] | None = None


def money(column: Any) -> Money:
    """Return money, exact decimals of at most 18 digits or binary floats, in its smallest units.

    >>> from decimal import Decimal
    >>> import pyarrow
    >>> money(pyarrow.array([Decimal("1.5"), None], pyarrow.decimal128(18, 4))).units
    array([15000,     0])
    >>> money(pyarrow.array([1.5, None, 0.00005])).units
    array([15000,     0,     1])
    """
    if _is_floats(column):
        return _of_floats(column)
    figures, blank = _whole(column)
    scale = _scale(column)
    least, most = (int(figures.min()), int(figures.max())) if len(figures) else (0, 0)
    return Money(np.multiply(figures, scale, dtype=np.int64), least * scale, most * scale, blank)


def units(column: Any) -> Units:
    """Return the units of :func:`money` alone, where what they are is known from an earlier look.

    >>> import pyarrow
    >>> units(pyarrow.array([1.5, None]))
    array([15000,     0])
    """
    if _is_floats(column):
        return _of_floats(column).units
    found: Units = np.multiply(_whole(column)[0], _scale(column), dtype=np.int64)
    return found


def _is_floats(column: Any) -> bool:
    return str(column.type) == "double"


def _scale(column: Any) -> int:
    """Return how many units the last place of exact decimals is."""
    return int(10 ** (MONEY_PLACES - column.type.scale))


def _whole(column: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return the whole numbers that decimals are made of, 0 for blanks, and where these are."""
    n, start, bits = len(column), column.offset, column.type.bit_width
    if bits == _WIDE:  # of the two halves the lower one has it all, sign included
        figures = np.frombuffer(column.buffers()[1], np.int64, 2 * n, 16 * start)[::2]
    else:
        kind = np.dtype(f"i{bits // 8}")
        figures = np.frombuffer(column.buffers()[1], kind, n, kind.itemsize * start)
    if not column.null_count:
        return figures, None
    blank = ~given(column)  # where the numbers are anything
    return np.where(blank, 0, figures), blank


def _of_floats(column: Any) -> Money:
    """Round to units, halves up, by the same arithmetic as expressions of an engine do."""
    values = np.frombuffer(column.buffers()[1], np.float64, len(column), 8 * column.offset)
    blank = np.isnan(values)
    if column.null_count:
        blank |= ~given(column)
    near = ~blank & (np.abs(values) < TOO_MANY_UNITS // UNITS_IN_ONE)
    scaled = np.where(near, values, 0.0) * UNITS_IN_ONE
    down = np.floor(scaled)
    units = down.astype(np.int64) + (scaled - down >= _HALF_A_UNIT)
    least, most = (int(units.min()), int(units.max())) if len(units) else (0, 0)
    if np.count_nonzero(near) + np.count_nonzero(blank) < len(values):
        most = TOO_MANY_UNITS  # or without end
    rounded = near & (_as_floats(units) != values)
    return Money(
        units, least, most, blank if blank.any() else None, rounded if rounded.any() else None
    )


def _as_floats(units: Units) -> NDArray[np.float64]:
    """Return units as money in floats, as DuckDB makes them of decimals."""
    found: NDArray[np.float64] = units / UNITS_IN_ONE
    large = np.abs(units) > _EXACT
    if large.any():
        some = units[large]
        whole = np.where(some < 0, -(-some // UNITS_IN_ONE), some // UNITS_IN_ONE)  # towards zero
        found[large] = whole + (some - whole * UNITS_IN_ONE) / UNITS_IN_ONE
    return found


def given(column: Any) -> NDArray[np.bool_]:
    """Return where a column, of which some cells are blank, is not."""
    return _bits(column, 0)


def flags(column: Any) -> NDArray[np.bool_]:
    """Return a column of yes and no without blanks."""
    return _bits(column, 1)


def _bits(column: Any, buffer: int) -> NDArray[np.bool_]:
    bits = np.frombuffer(column.buffers()[buffer], np.uint8)
    start = column.offset
    return np.unpackbits(bits, count=start + len(column), bitorder="little")[start:].view(np.bool_)


def exact_sum(values: Units, largest: int) -> int:
    """Return the sum of whole numbers from 0 up to ``largest``, of any size.

    >>> exact_sum(np.full(100, 2**62), 2**62) == 100 * 2**62
    True
    """
    if len(values) * largest < _WHOLE:
        return int(values.sum())
    return int((values // _HALF).sum()) * _HALF + int((values % _HALF).sum())


def in_money(units: int) -> Decimal:
    """Return units as money, exact and with all its places.

    >>> in_money(10**30)
    Decimal('100000000000000000000000000.0000')
    """
    return Decimal(f"{units}e-{MONEY_PLACES}")


def parts_on(
    day: int, settled: NDArray[np.int32], collected: Units, lost: Units
) -> tuple[Units, Units]:
    """Return what of each amount was collected and lost on a day, as ``with_parts`` does.

    Parameters
    ----------
    day : int
    settled : ndarray
        From :func:`days`.
    collected, lost : ndarray of int64
        What has come of each by now; a loss without a date counts on any day.
    """
    known = settled <= day
    return collected * known, lost * (known | (settled == NEVER))
