"""The return rule and the provision matrix, against published figures and by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from credit_portfolio.errors import ModelError
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

IFRS = ProvisionMatrix((0, 30, 60, 90), (0.003, 0.016, 0.036, 0.066, 0.106))


def test_the_flow_example_gives_the_published_rates_and_allowance():
    flow = ProvisionMatrix.from_flow((0, 30, 60, 90), 100_000, (50_000, 23_000, 8_000, 2_000))
    exact = [Fraction(2, 100), Fraction(2, 50), Fraction(2, 23), Fraction(2, 8), Fraction(1)]
    assert flow.rates == pytest.approx([float(rate) for rate in exact], rel=1e-15)
    book = (300_000, 140_000, 60_000, 23_000, 5_000)
    owed = sum(rate * amount for rate, amount in zip(exact, book, strict=True))
    assert flow.allowance(book) == pytest.approx(float(owed), rel=1e-14)
    assert round(flow.allowance(book), 2) == 27_567.39
    published = ProvisionMatrix(flow.days, (0.02, 0.04, 0.087, 0.25, 1.0))
    assert round(published.allowance(book)) == 27_570  # with its rates rounded to 8.7 %
    assert int(flow.allowance(book)) == 27_567


def test_ifrs_9_example_12_needs_580_000():
    assert IFRS.allowance([15.0e6, 7.5e6, 4.0e6, 2.5e6, 1.0e6]) == pytest.approx(580_000, rel=1e-14)


@pytest.mark.parametrize(
    ("age", "rate"),
    [
        (-400, 0.003),
        (0, 0.003),
        (1, 0.016),
        (30, 0.016),
        (31, 0.036),
        (60, 0.036),
        (61, 0.066),
        (90, 0.066),
        (91, 0.106),
        (4000, 0.106),
    ],
)
def test_a_bucket_ends_with_its_last_day(age, rate):
    assert IFRS.rate(age) == rate
    assert IFRS.rate([age, age]).tolist() == [rate, rate]


def test_a_matrix_of_one_bucket_charges_every_age_alike():
    assert ProvisionMatrix((), (0.5,)).rate([-1, 0, 999]).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (((30, 0), (0, 0.1, 0.2)), "must increase"),
        (((0, 0), (0, 0.1, 0.2)), "must increase"),
        (((0, 30), (0, 0.1)), "2 ages make 3 buckets; found 2 rates"),
        (((0,), (0, 1.1)), "between 0 and 1"),
        (((0,), (-0.1, 1)), "between 0 and 1"),
        (((0,), (float("nan"), 1)), "between 0 and 1"),
        (((0,), (0, 1), "booking"), "'due' or 'invoice'"),
        (((0.5, 30), (0, 0.1, 0.2)), "whole days"),
        (((0, float("nan")), (0, 0.1, 0.2)), "whole days"),
    ],
)
def test_a_wrong_matrix_is_refused(arguments, found):
    with pytest.raises(ModelError, match=found):
        ProvisionMatrix(*arguments)


@pytest.mark.parametrize(
    "flow",
    [
        ((0, 30), 100, (50,)),
        ((0, 30), 100, (50, 60)),
        ((0, 30), 40, (50, 10)),
        ((0, 30), 100, (50, 0)),
        ((0, 30), float("nan"), (50, 10)),
        ((0, 30), float("inf"), (50, 10)),
    ],
)
def test_a_flow_that_does_not_fall_is_refused(flow):
    with pytest.raises(ModelError, match="one per age, fall from the sales"):
        ProvisionMatrix.from_flow(*flow)


@pytest.mark.parametrize(
    ("balances", "found"),
    [([1.0, 2.0], "expected 5 balances"), ([1, 2, 3, 4, np.nan], "finite")],
)
def test_balances_are_one_finite_amount_a_bucket(balances, found):
    with pytest.raises(ModelError, match=found):
        IFRS.allowance(balances)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"markup": 0}, "markup is 0"),
        ({"markup": -0.2}, "markup is -0.2"),
        ({"markup": float("nan")}, "markup is nan"),
        ({"markup": float("inf")}, "markup is inf"),
        ({"markup": 0.2, "funding_rate": -0.01}, "funding_rate is -0.01"),
        ({"markup": 0.2, "funding_rate": float("nan")}, "funding_rate is nan"),
        ({"markup": 0.2, "late_settlement": "ignored"}, "'paid' or 'provisioned'"),
        ({"markup": 0.2, "late_settlement": "provisioned"}, "needs a ProvisionMatrix"),
    ],
)
def test_a_wrong_rule_is_refused(arguments, found):
    with pytest.raises(ModelError, match=found):
        ReturnRule(**arguments)


def test_the_rule_states_every_part_of_its_convention():
    plain = ReturnRule(0.25).describe()
    assert plain == (
        "markup 0.25 on cost; funds at 0 per year on cost; open items valued in full; late "
        "settlements counted as paid"
    )
    full = ReturnRule("margin", 0.08, IFRS, "provisioned").describe()
    for part in ("column 'margin'", "0.08 per year", "from the due date", "charged the provision"):
        assert part in full
