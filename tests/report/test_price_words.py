from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.report import price_words, tables, words


def test_price_sentences_say_the_direction(plain) -> None:
    kinds = {"[0 %, 15 %)": "bad", "[23.5 %, 25 %]": "good", "x": "good", "y": "bad", "z": "bad"}
    frame = pd.DataFrame(
        {
            "kind": ["budget", *["target"] * 5, "limit", "limit"],
            "bound": [5e6, 0.02, 0.6, 0.30, 0.0406, 0.0406, 20_000.0, 785.0],
            "reached": [5e6, 0.02, 0.6, 0.31, 0.0386, 0.0406, 20_000.0, 785.0],
            "binding": [True, True, True, False, False, False, True, True],
            "standard_deviation": [75.6, -12.0, 1151.0, 0.0, 0.0, 0.0, -0.0123, -80.0],
            "standard_deviation_less": [-75.6, 12.0, -900.0, 0.0, 0.0, 33.0, 0.0123, 80.0],
        },
        index=[
            "budget",
            "target [0 %, 15 %)",
            "target [23.5 %, 25 %]",
            "target x",
            "target y",
            "target z",
            "limit C1",
            "limit C2",
        ],
    )
    said = [price_words.price_sentence(row, kinds, plain) for row in words.rows_of(frame)]
    assert said == [
        "10,000 EUR more of budget, at the same limits, would raise the standard deviation by "
        "75.6 EUR.",
        "Allowing one percentage point more would lower the standard deviation by 12.0 EUR.",
        "Asking for one percentage point more would raise the standard deviation by 1,151 EUR.",
        "Not binding: one percentage point more or less changes nothing.",
        "Not binding; it would bind after 0.20 percentage points.",
        "Just met; allowing one percentage point less would raise the standard deviation by "
        "33.0 EUR.",
        "10,000 EUR more of limit for C1 would lower the standard deviation by 0.0123 EUR.",
        "785 EUR more of limit for C2 would lower the standard deviation by 6.28 EUR.",
    ]


def test_price_sentences_say_when_a_step_cannot_be_met(plain) -> None:
    nan = float("nan")
    frame = pd.DataFrame(
        {
            "kind": ["budget", "target", "target"],
            "bound": [5e6, 0.6, 0.02],
            "reached": [5e6, 0.6, 0.02],
            "binding": [True, True, False],
            "standard_deviation": [nan, nan, 0.0],
            "standard_deviation_less": [-75.6, -900.0, nan],
        },
        index=["budget", "target g", "target b"],
    )
    kinds = {"g": "good", "b": "bad"}
    said = [price_words.price_sentence(row, kinds, plain) for row in words.rows_of(frame)]
    assert said == [
        "10,000 EUR more of budget cannot be given at the same limits and targets.",
        "Asking for one percentage point less would lower the standard deviation by 900 EUR.",
        "Just met; allowing one percentage point less cannot be met.",
    ]


def test_other_conditions_are_priced_on_both_sides(plain) -> None:
    nan = float("nan")
    frame = pd.DataFrame(
        {
            "kind": ["group", "group amount", "return", "row", "return"],
            "bound": [0.3, 3e5, 0.2, 0.5, 0.2],
            "reached": [0.3, 3e5, 0.2, 0.5, 0.21],
            "binding": [True, True, True, True, False],
            "step": ["x"] * 5,
            "standard_deviation": [-12.0, -3.0, nan, 2.0, 0.0],
            "standard_deviation_less": [13.0, 3.5, -4.0, -2.0, 0.0],
        },
        index=["group a", "group a (amount)", "expected return", "mine", "expected return"],
    )
    said = [price_words.price_sentence(row, {}, plain) for row in words.rows_of(frame)]
    deviation = "the standard deviation by"
    assert said == [
        f"Moving the bound of group a by one percentage point: up would lower {deviation} "
        f"12.0 EUR; down would raise {deviation} 13.0 EUR.",
        f"Moving the bound of group a by 10,000 EUR: up would lower {deviation} 3.00 EUR; "
        f"down would raise {deviation} 3.50 EUR.",
        "Moving the bound of expected return by a tenth of a percentage point: up cannot be met; "
        f"down would lower {deviation} 0.400 EUR.",
        f"Moving the bound of mine by 0.01: up would raise {deviation} 2.00 EUR; down would "
        f"lower {deviation} 2.00 EUR.",
        "Not binding: a tenth of a percentage point more or less changes nothing.",
    ]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("target", "50.00%"),
        ("group", "50.00%"),
        ("return", "50.00%"),
        ("row", "0.500"),
        ("group amount", "0 EUR"),
    ],
)
def test_bounds_are_told_in_the_unit_of_their_condition(plain, kind: str, shown: str) -> None:
    value = 0.5 if kind != "group amount" else 0.4
    assert price_words.bound_words(kind, value, plain) == shown
    frame = plain.shadow_prices.head(1).assign(kind=kind, bound=value, reached=value)
    table = tables.prices_table(replace(plain, shadow_prices=frame))
    assert [cell.text for cell in table.rows[0][1:3]] == [shown, shown]


def test_one_of_several_prices_is_told_as_such(plain) -> None:
    row = pd.DataFrame(
        {
            "kind": "limit",
            "bound": 1e6,
            "step": "10,000 EUR more (one of several prices)",
            "standard_deviation": -5.0,
        },
        index=["limit C1"],
    )
    said = price_words.price_sentence(next(words.rows_of(row)), {}, plain)
    assert said.endswith("by 5.00 EUR (one of several prices).")


def test_priced_conditions_are_sorted_by_the_larger_side(plain) -> None:
    found = price_words.priced_conditions(plain)
    size = found[["more", "less"]].abs().max(axis=1)
    assert size.is_monotonic_decreasing
    assert (size > 0).all()
    table = plain.shadow_prices
    dear = table[table["kind"] != "limit"]["standard_deviation"].abs().gt(1e-3)
    assert set(dear.index[dear]) <= set(found.index)


def test_a_small_limit_is_priced_by_no_more_than_itself(plain) -> None:
    limits = plain.shadow_prices[plain.shadow_prices["kind"] == "limit"].head(1)
    small = limits.assign(bound=500.0)
    found = price_words.priced_conditions(replace(plain, shadow_prices=small))
    assert found["more"].iloc[0] == pytest.approx(limits["standard_deviation"].iloc[0] / 20)


def test_a_least_return_is_priced_by_a_tenth_of_a_point(plain) -> None:
    row = plain.shadow_prices.head(1).rename(index={"budget": "expected return"})
    row = row.assign(kind="return", standard_deviation=50.0, standard_deviation_less=-40.0)
    a = replace(plain, shadow_prices=row)
    found = price_words.priced_conditions(a)
    assert found[["more", "less"]].to_numpy().tolist() == [[5.0, -4.0]]
    said = price_words.price_sentence(next(words.rows_of(row)), {}, plain)
    assert "by a tenth of a percentage point: up would raise" in said
    assert "5.00 EUR; down would lower" in said


def test_without_prices_of_a_step_less_the_other_side_is_the_mirror(plain) -> None:
    older = plain.shadow_prices.drop(columns=["variance_less", "standard_deviation_less"])
    found = price_words.priced_conditions(replace(plain, shadow_prices=older))
    np.testing.assert_array_equal(found["less"], -found["more"])
