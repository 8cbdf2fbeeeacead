"""Columns of an engine as numbers: what stands in them, however they are cut and blanked."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.figures import Marks
from credit_portfolio.ledger import arrays
from credit_portfolio.ledger.parsing import read_money

CUTS = st.tuples(st.integers(0, 20), st.integers(0, 40))
MONEY = st.decimals(Decimal("-99999999999999.9999"), Decimal("99999999999999.9999"), places=4)
ENGINE = ibis.duckdb.connect()
DAYS = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))


def cut(values, kind, where):
    start, length = where
    return pa.array(values, kind).slice(start, length), values[start : start + length]


@given(st.lists(st.none() | MONEY, max_size=40), CUTS)
def test_money_comes_in_units_with_nothing_for_blanks(values, where):
    column, expected = cut(values, pa.decimal128(18, 4), where)
    found = arrays.money(column)
    units = [0 if v is None else int(v * 10**4) for v in expected]
    assert found.units.tolist() == arrays.units(column).tolist() == units
    assert (found.least, found.most) == (min(units, default=0), max(units, default=0))


@pytest.mark.parametrize(("precision", "scale"), [(18, 2), (9, 0), (14, 3), (5, 4)])
def test_money_of_every_scale_comes_in_the_same_units(precision, scale):
    one = Decimal(1).scaleb(-scale)
    column = pa.array([one, -7 * one, None], pa.decimal128(precision, scale))
    assert arrays.money(column).units.tolist() == [10 ** (4 - scale), -7 * 10 ** (4 - scale), 0]


@pytest.mark.parametrize("kind", [pa.decimal32(9, 2), pa.decimal64(18, 2), pa.decimal128(18, 2)])
def test_money_comes_alike_from_decimals_of_all_widths(kind):
    values = [Decimal("1234567.89"), None, Decimal("-0.01"), Decimal(0), Decimal("9999999.99")]
    found = arrays.money(pa.array(values, kind).slice(1))
    assert found.units.tolist() == [0, -100, 0, 99999999900]
    assert (found.least, found.most) == (-100, 99999999900)
    assert found.blank.tolist() == [True, False, False, False]


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
        assert (max(-found.least, found.most) >= arrays.TOO_MANY_UNITS) is large


@given(st.lists(st.integers(0, 10**18), max_size=60))
def test_sums_are_exact_beyond_64_bits(values):
    found = arrays.exact_sum(np.array(values, dtype=np.int64), max(values, default=0))
    assert found == sum(values)


FLOATS = st.one_of(
    st.none(),
    st.floats(-1e15, 1e15),
    st.integers(-(10**9), 10**9).map(lambda n: n / 20_000),  # halves of the smallest unit
    st.sampled_from([float("nan"), float("inf"), 0.1, 1e14 - 0.01, 99999999999999.99999, -1e14]),
)


@given(st.lists(FLOATS, min_size=1, max_size=40), CUTS)
def test_binary_floats_come_in_the_units_that_an_engine_rounds_them_to(values, where):
    column, expected = cut(values, pa.float64(), where)
    table = ibis.memtable(pa.table({"c0": pa.array(expected, pa.float64())}))
    value, faults, inexact = read_money(table.c0, Marks(), "amount", "here")
    beyond = faults.unreadable | faults.too_large
    asked = table.select(value=value, blank=faults.blank, far=beyond, inexact=inexact)
    wanted = ENGINE.to_pyarrow(asked)
    found = arrays.money(column)
    far = wanted["far"].to_pylist()
    units = [0 if v is None else int(v * 10**4) for v in wanted["value"].to_pylist()]
    near = [unit for unit, beyond in zip(found.units.tolist(), far, strict=True) if not beyond]
    assert near == [unit for unit, beyond in zip(units, far, strict=True) if not beyond]
    assert arrays.units(column).tolist() == found.units.tolist()
    assert (max(-found.least, found.most) >= arrays.TOO_MANY_UNITS) is any(far)
    nothing = [False] * len(column)
    for mask, name in ((found.blank, "blank"), (found.rounded, "inexact")):
        assert (nothing if mask is None else mask.tolist()) == wanted[name].to_pylist()
