"""Columns that the embedded engine hands over, as arrays of numbers: its own memory, not copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.ledger.quality import MONEY_DIGITS, MONEY_PLACES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Units = NDArray[np.int64]

UNITS = 10**MONEY_PLACES
"""Smallest units of money in one."""

NEVER = int(np.iinfo(np.int32).max)
"""The day of what has not happened; no calendar comes so far."""

_WHOLE_DIGITS = MONEY_DIGITS - MONEY_PLACES
_WHOLE = 2**63  # from here on a sum does not fit into 64 bits
_HALF = 2**31


def days(column: Any) -> NDArray[np.int32]:
    """Return dates as days since 1970-01-01, :data:`NEVER` where blank.

    >>> import datetime, pyarrow
    >>> days(pyarrow.array([datetime.date(1970, 1, 3), None]))[0]
    np.int32(2)
    """
    values = np.frombuffer(column.buffers()[1], np.int32, len(column), 4 * column.offset)
    return values if not column.null_count else np.where(given(column), values, np.int32(NEVER))


def units(column: Any) -> Units:
    """Return money, exact decimals of at most 18 digits, in its smallest units, 0 where blank.

    Figures for which :func:`too_large` holds do not fit.

    >>> from decimal import Decimal
    >>> import pyarrow
    >>> units(pyarrow.array([Decimal("1.5"), None], pyarrow.decimal128(18, 4)))
    array([15000,     0])
    """
    values = _figures(column) * np.int64(10 ** (MONEY_PLACES - column.type.scale))
    if column.null_count:
        values *= given(column)
    return values


def _figures(column: Any) -> Units:
    # Of the two halves of 128 bits the lower one has it all, sign included.
    both = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset)
    return both[::2]


def too_large(column: Any) -> bool:
    """Whether some money of a column, exact decimals as for :func:`units`, has too many digits.

    >>> from decimal import Decimal
    >>> import pyarrow
    >>> too_large(pyarrow.array([Decimal("1e14")], pyarrow.decimal128(18, 2)))
    True
    """
    kind = column.type
    if kind.precision - kind.scale <= _WHOLE_DIGITS or not len(column):
        return False
    values = _figures(column)
    if column.null_count:
        values = values * given(column)
    limit = 10 ** (_WHOLE_DIGITS + kind.scale)
    return bool(values.max() >= limit or values.min() <= -limit)


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
