"""Rounded money: the total kept, no bound crossed, nobody moved by more than a unit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.errors import ModelError
from credit_portfolio.rounding import round_to_unit

UNITS = [0.01, 1.0, 1000.0]
# Part of a unit: how far a quotient amount / unit of floats may be from the whole number meant.
# The amounts below have up to 1e9 units, whose floats are 1e-7 apart.
WHOLE = 1e-6


def ulps(total: float, n: int) -> float:
    """A sum of n floats is only known to n ulps of it; the function stops there."""
    return 2 * n * float(np.spacing(abs(total)))


@st.composite
def books(draw: st.DrawFn, *, whole_limits: bool = False) -> tuple[np.ndarray, ...]:
    """Amounts in hundredths of a unit within their bounds: free, capped, floored, fixed, equal."""
    unit = draw(st.sampled_from(UNITS))
    n = draw(st.integers(1, 10))
    size = draw(st.sampled_from([300, 30_000, 10**9]))
    lower, amounts, upper = [], [], []
    step = 100 if whole_limits else 1
    for _ in range(n):
        exact = draw(st.one_of(st.integers(0, size), st.sampled_from([0, 50, 133, 166, size])))
        below = draw(st.sampled_from(["zero", "near", "fixed"]))
        above = draw(st.sampled_from(["free", "near", "at"]))
        low = 0 if below == "zero" else max(0, exact - draw(st.integers(0, 120)))
        high = exact if above == "at" else exact + draw(st.integers(0, 120))
        low, high = low // step * step, -(-high // step) * step
        if below == "fixed" and not whole_limits:
            low = high = exact
        lower.append(low / 100 * unit)
        amounts.append(exact / 100 * unit)
        upper.append(math.inf if above == "free" and low != high else high / 100 * unit)
    arrays = [np.array(x) for x in (amounts, lower, upper)]
    arrays[0] = np.clip(arrays[0], arrays[1], arrays[2])
    return (*arrays, np.array(unit))


def off_the_unit(rounded: np.ndarray, unit: float) -> np.ndarray:
    units = rounded / unit
    return np.abs(units - np.round(units)) > WHOLE


# ------------------------------------------------------------------------------------- properties


@given(books())
def test_the_total_is_kept(book: tuple[np.ndarray, ...]) -> None:
    amounts, lower, upper, unit = book
    rounded = round_to_unit(amounts, lower, upper, float(unit))
    exact = sum((Fraction(float(a)) for a in amounts), Fraction(0))
    found = sum((Fraction(float(a)) for a in rounded), Fraction(0))
    assert abs(float(found - exact)) <= ulps(float(exact), amounts.size)


@given(books())
def test_no_bound_is_crossed_by_the_smallest_float(book: tuple[np.ndarray, ...]) -> None:
    amounts, lower, upper, unit = book
    rounded = round_to_unit(amounts, lower, upper, float(unit))
    assert (rounded >= lower).all()
    assert (rounded <= upper).all()


@given(books(whole_limits=True))
def test_with_limits_in_whole_units_nobody_is_moved_by_more_than_a_unit(
    book: tuple[np.ndarray, ...],
) -> None:
    amounts, lower, upper, unit = book
    rounded = round_to_unit(amounts, lower, upper, float(unit))
    assert (np.abs(rounded - amounts) <= unit * (1 + WHOLE)).all()


@given(books())
def test_one_amount_is_off_the_unit_where_one_has_room_for_everything(
    book: tuple[np.ndarray, ...],
) -> None:
    amounts, lower, upper, unit = book
    amounts = np.append(amounts, 1e6 * unit)
    lower, upper = np.append(lower, 0.0), np.append(upper, np.inf)
    rounded = round_to_unit(amounts, lower, upper, float(unit))
    # Bounds without a multiple between them leave their amount no choice.
    free = np.ceil(lower / unit - WHOLE) <= np.floor(upper / unit + WHOLE)
    assert int(off_the_unit(rounded, float(unit))[free].sum()) <= 1


@given(books(whole_limits=True))
def test_with_limits_in_whole_units_at_most_the_odd_rest_of_the_total_is_off_the_unit(
    book: tuple[np.ndarray, ...],
) -> None:
    amounts, lower, upper, unit = book
    rounded = round_to_unit(amounts, lower, upper, float(unit))
    hundredths = sum(round(a * 100 / float(unit)) for a in amounts)
    off = int(off_the_unit(rounded, float(unit)).sum())
    assert off == 0 if hundredths % 100 == 0 else off >= 1


@given(books())
def test_the_order_of_customers_decides_nothing(book: tuple[np.ndarray, ...]) -> None:
    amounts, lower, upper, unit = book
    order = np.random.default_rng(amounts.size).permutation(amounts.size)
    one = round_to_unit(amounts, lower, upper, float(unit))
    other = round_to_unit(amounts[order], lower[order], upper[order], float(unit))
    # Equal customers may change places: compare what each kind of customer got, together.
    rows = lambda r, o: sorted(zip(amounts[o], lower[o], upper[o], r, strict=True))  # noqa: E731
    by_kind = rows(one, np.arange(amounts.size))
    for (a, *_, found), (b, *_, expected) in zip(rows(other, order), by_kind, strict=True):
        assert a == b
        assert found == pytest.approx(expected, abs=ulps(float(amounts.sum()), amounts.size))


@given(books())
def test_the_input_is_left_alone(book: tuple[np.ndarray, ...]) -> None:
    amounts, lower, upper, unit = book
    kept = amounts.copy()
    round_to_unit(amounts, lower, upper, float(unit))
    assert amounts.tolist() == kept.tolist()


# ---------------------------------------------------------------------------------------- by hand


def free(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(n), np.full(n, np.inf)


@pytest.mark.parametrize("unit", UNITS)
def test_a_budget_in_thirds_goes_to_whole_units(unit: float) -> None:
    rounded = round_to_unit(np.full(3, 100 * unit / 3), *free(3), unit)
    assert sorted(rounded / unit) == pytest.approx([33, 33, 34])


def test_the_largest_remainders_move_up() -> None:
    rounded = round_to_unit(np.array([10.2, 20.7, 30.6, 38.5]), *free(4), 1)
    assert rounded.tolist() == [10.0, 21.0, 31.0, 38.0]


def test_at_equal_remainders_the_larger_amount_moves_up() -> None:
    # 3.3 - 3 and 33.3 - 33 differ in the last bits; to a reader they are equal.
    rounded = round_to_unit(np.array([3.3, 33.3, 13.3, 50.1]), *free(4), 1)
    assert rounded.tolist() == [3.0, 34.0, 13.0, 50.0]


def test_whole_amounts_stay_as_they_are() -> None:
    amounts = np.array([0.07, 0.29, 1.13, 0.0])  # 0.29 / 0.01 is 28.999999999999996
    assert round_to_unit(amounts, *free(4), 0.01) == pytest.approx(amounts, abs=1e-15)


def test_large_amounts_in_cents_stay_in_cents() -> None:
    amounts = np.array([123_456_789.12, 987_654_321.98, 1_000_000_000.01])
    rounded = round_to_unit(amounts, np.zeros(3), amounts, 0.01)
    assert rounded == pytest.approx(amounts, abs=1e-6)


def test_a_limit_that_is_needed_in_full_stays_unrounded() -> None:
    limits = np.array([100.5, 99.25])
    assert round_to_unit(limits, np.zeros(2), limits, 1).tolist() == [100.5, 99.25]


def test_a_budget_equal_to_the_sum_of_the_limits_fills_each() -> None:
    limits = np.array([100.5, 0.0, 250.0, 49.5])
    rounded = round_to_unit(limits.copy(), np.zeros(4), limits, 1)
    assert rounded.tolist() == limits.tolist()


def test_an_odd_limit_is_not_rounded_up_past() -> None:
    rounded = round_to_unit(np.array([100.4, 99.6]), np.zeros(2), np.array([100.5, 200.0]), 1)
    assert rounded.tolist() == [100.0, 100.0]


def test_no_multiple_between_the_bounds_leaves_the_amount_as_it_is() -> None:
    rounded = round_to_unit(np.array([2.5, 3.5]), np.array([2.2, 0.0]), np.array([2.8, 10.0]), 1)
    assert rounded == pytest.approx([2.5, 3.5])


def test_floors_that_are_no_multiples_are_paid_for_in_whole_units() -> None:
    amounts = np.array([2.2, 2.2, 5.6])
    rounded = round_to_unit(amounts, np.array([2.1, 2.1, 0.0]), np.full(3, 10.0), 1)
    assert rounded.tolist() == [3.0, 3.0, 4.0]


def test_limits_that_are_no_multiples_are_made_up_for_in_whole_units() -> None:
    limit = np.array([10.75, 20.75, 30.75, 1_000.0])
    amounts = np.array([10.75, 20.75, 30.75, 100.0])
    assert round_to_unit(amounts, np.zeros(4), limit, 1).tolist() == [10.0, 20.0, 30.25, 102.0]


def test_fixed_amounts_and_zero_limits_are_kept() -> None:
    amounts, fixed = np.array([5.5, 0.0, 4.5]), np.array([5.5, 0.0, 0.0])
    rounded = round_to_unit(amounts, fixed, np.array([5.5, 0.0, 10.0]), 1)
    assert rounded == pytest.approx([5.5, 0.0, 4.5])


def test_zero_comes_without_a_minus_sign() -> None:
    rounded = round_to_unit(np.array([0.0, 1.0, 0.4, 0.6]), *free(4), 1)
    assert not np.signbit(rounded).any()


def test_equal_amounts_differ_by_at_most_one_unit() -> None:
    rounded = round_to_unit(np.full(7, 10_000 / 7), *free(7), 1)
    assert sorted(rounded) == [1428.0] * 3 + [1429.0] * 4


def test_nothing_to_round_is_fine() -> None:
    assert round_to_unit(np.zeros(3), np.zeros(3), np.zeros(3), 1).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("unit", [0.0, -1.0, np.nan, np.inf])
def test_a_unit_that_is_no_money_is_refused(unit: float) -> None:
    with pytest.raises(ModelError, match=r"rounding unit is .*; expected an amount of money above"):
        round_to_unit(np.ones(2), *free(2), unit)
