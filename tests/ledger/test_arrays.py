"""Columns of an engine as numbers: what stands in them, however they are cut and blanked."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.ledger import arrays

CUTS = st.tuples(st.integers(0, 20), st.integers(0, 40))
MONEY = st.decimals(Decimal("-99999999999999.9999"), Decimal("99999999999999.9999"), places=4)
DAYS = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))


def cut(values, kind, where):
    start, length = where
    return pa.array(values, kind).slice(start, length), values[start : start + length]


@given(st.lists(st.none() | MONEY, max_size=40), CUTS)
def test_money_comes_in_units_with_nothing_for_blanks(values, where):
    column, expected = cut(values, pa.decimal128(18, 4), where)
    found = arrays.money(column)
    units = [0 if v is None else int(v * 10**4) for v in expected]
    assert found.units.tolist() == units
    assert (found.least, found.most) == (min(units, default=0), max(units, default=0))


@pytest.mark.parametrize(("precision", "scale"), [(18, 2), (9, 0), (14, 3), (5, 4)])
def test_money_of_every_scale_comes_in_the_same_units(precision, scale):
    one = Decimal(1).scaleb(-scale)
    column = pa.array([one, -7 * one, None], pa.decimal128(precision, scale))
    assert arrays.money(column).units.tolist() == [10 ** (4 - scale), -7 * 10 ** (4 - scale), 0]


@given(st.lists(st.none() | DAYS, max_size=40), CUTS)
def test_dates_come_as_days_and_blanks_as_never(values, where):
    column, expected = cut(values, pa.date32(), where)
    epoch = dt.date(1970, 1, 1)
    days = [arrays.NEVER if v is None else (v - epoch).days for v in expected]
    assert arrays.days(column).tolist() == days


@given(st.lists(st.booleans(), max_size=40), CUTS)
def test_yes_and_no_come_as_they_are(values, where):
    column, expected = cut(values, pa.bool_(), where)
    assert arrays.flags(column).tolist() == expected


@pytest.mark.parametrize("figure", ["100000000000000", "-100000000000000", "9999999999999999.99"])
def test_money_with_more_than_fourteen_digits_is_told(figure):
    values = [Decimal("99999999999999.99"), None, Decimal("-99999999999999.99")]
    for cells, large in ((values, False), ([*values, Decimal(figure)], True)):
        found = arrays.money(pa.array(cells, pa.decimal128(18, 2)))
        assert (max(-found.least, found.most) >= arrays.TOO_LARGE) is large


@given(st.lists(st.integers(0, 10**18), max_size=60))
def test_sums_are_exact_beyond_64_bits(values):
    found = arrays.exact_sum(np.array(values, dtype=np.int64), max(values, default=0))
    assert found == sum(values)
