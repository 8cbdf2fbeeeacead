"""Classes against textbook c-means, loops over customers, and sharing by bisection."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.errors import DataError, InfeasibleError, ModelError
from credit_portfolio.evaluation import fuzzy
from credit_portfolio.evaluation.classes import (
    CustomerClasses,
    class_panel,
    class_rows,
    classes_by_label,
    classes_by_profile,
    share_by_limit,
)
from credit_portfolio.evaluation.fuzzy import c_means
from credit_portfolio.evaluation.sampling import smooth

RETURNS = np.array([-0.5, 0.1, 0.22])


def by_hand(codes: Any, count: int | None = None) -> CustomerClasses:
    names = tuple(f"c{c}" for c in range(count if count is not None else max(codes) + 1))
    return CustomerClasses(names, np.array(codes), None, "by hand")


def profiles(seed: int, n: int = 60) -> Any:
    """Smoothed rows of three kinds of customers."""
    rng = np.random.default_rng(seed)
    kinds = np.array([[6.0, 3, 1], [1, 8, 3], [0.3, 1, 12]])[rng.integers(0, 3, n)]
    theta = np.array([rng.dirichlet(kind) for kind in kinds])
    counts = rng.multinomial(12, theta)
    return smooth(counts, counts.sum(axis=1), strength=2.0).values


# ---------------------------------------------------------------------------------------- c-means


def textbook_step(rows: Any, degrees: Any, fuzziness: float) -> tuple[Any, Any, float]:
    """Bezdek's alternation in loops: centres of the degrees, then degrees of the centres."""
    power = degrees**fuzziness
    centres = np.array(
        [(power[:, c, None] * rows).sum(axis=0) / power[:, c].sum() for c in range(power.shape[1])]
    )
    new = np.empty_like(degrees)
    for i, row in enumerate(rows):
        distance = [math.dist(row, centre) for centre in centres]
        for c in range(len(centres)):
            new[i, c] = 1 / sum((distance[c] / d) ** (2 / (fuzziness - 1)) for d in distance)
    objective = sum(
        new[i, c] ** fuzziness * math.dist(row, centre) ** 2
        for i, row in enumerate(rows)
        for c, centre in enumerate(centres)
    )
    return centres, new, objective


@pytest.mark.parametrize("fuzziness", [1.5, 2.0, 3.0])
def test_memberships_are_a_fixed_point_of_the_textbooks_step(fuzziness: float) -> None:
    rows = profiles(1)
    found = c_means(rows, 3, fuzziness=fuzziness)
    centres, degrees, objective = textbook_step(rows, found.degrees, fuzziness)
    np.testing.assert_allclose(centres, found.centres, atol=1e-6)
    np.testing.assert_allclose(degrees, found.degrees, atol=1e-6)
    assert found.objective == pytest.approx(objective, rel=1e-8)
    np.testing.assert_allclose(found.degrees.sum(axis=1), 1, rtol=1e-12)
    assert (found.settled, found.fitted) == (True, 60)


def test_no_start_from_three_of_the_rows_ends_lower() -> None:
    rows = profiles(2, n=9)
    best = math.inf
    for chosen in combinations(range(9), 3):
        degrees = np.full((9, 3), 0.1)
        degrees[list(chosen), [0, 1, 2]] = 0.8
        degrees /= degrees.sum(axis=1, keepdims=True)
        for _ in range(150):
            _, degrees, objective = textbook_step(rows, degrees, 2.0)
        best = min(best, objective)
    assert c_means(rows, 3).objective <= best * (1 + 1e-6)


def test_several_starts_leave_a_poor_one_behind() -> None:
    rows = np.random.default_rng(1).dirichlet([0.4] * 4, 60)
    alone = [c_means(rows, 6, fuzziness=1.2, seed=s, starts=1).objective for s in range(4)]
    together = c_means(rows, 6, fuzziness=1.2, seed=0, starts=6).objective
    assert max(alone) == alone[0]  # this seed's first start is a poor one
    assert together <= min(alone) * (1 + 1e-6)
    assert together < 0.9 * alone[0]


def test_the_seed_decides_alone() -> None:
    rows, state = profiles(3), np.random.get_state()[1].copy()
    first, again = c_means(rows, 3, seed=7), c_means(rows, 3, seed=7)
    assert np.array_equal(first.degrees, again.degrees)
    assert np.array_equal(np.random.get_state()[1], state)


def test_the_order_of_the_customers_decides_nothing() -> None:
    rows, order = profiles(4), np.random.default_rng(0).permutation(60)
    here, there = (classes_by_profile(r, 3, RETURNS) for r in (rows, rows[order]))
    assert here.names == there.names
    assert np.array_equal(here.codes[order], there.codes)
    np.testing.assert_allclose(here.degrees[order], there.degrees, atol=1e-12)


def test_classes_are_numbered_from_the_worst_mean_return() -> None:
    rows = profiles(5)
    found = classes_by_profile(rows, 3, RETURNS)
    means = [float((rows[found.codes == c] @ RETURNS).mean()) for c in range(3)]
    assert means == sorted(means)
    assert found.names[0] == "profile 1"
    assert found.notes[0].startswith("mean returns: profile 1 -")
    assert found.degrees is not None
    assert np.array_equal(found.codes, found.degrees.argmax(axis=1))
    assert (len(found.notes), found.origin) == (1, "c-means of 3 profiles")


def test_three_kinds_far_apart_are_found() -> None:
    rng = np.random.default_rng(6)
    kinds = rng.integers(0, 3, 90)
    rows = np.eye(3)[kinds] * 0.8 + rng.dirichlet([1, 1, 1], 90) * 0.2
    assert np.array_equal(classes_by_profile(rows, 3, RETURNS).codes, kinds)


def test_many_customers_are_fitted_on_a_sample_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = profiles(7, n=600)
    whole = classes_by_profile(rows, 3, RETURNS)
    monkeypatch.setattr(fuzzy, "_MOST_FITTED", 300)
    sampled = classes_by_profile(rows, 3, RETURNS, seed=1)
    assert sampled.notes[0] == "the centres were fitted on 300 of 600 customers, drawn with seed 1"
    assert c_means(rows, 3).fitted == 300
    assert (sampled.codes == whole.codes).mean() > 0.95
    # All degrees are those of the fitted centres, whoever was in the sample.
    found = c_means(rows, 3)
    square = ((rows[:, None] - found.centres) ** 2).sum(axis=2)
    np.testing.assert_allclose(
        found.degrees, (1 / square) / (1 / square).sum(axis=1, keepdims=True), rtol=1e-9
    )


def test_a_sample_that_would_miss_kinds_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.repeat([[0.0, 1.0]], 200, axis=0)
    rows[7], rows[90] = [1.0, 0.0], [0.5, 0.5]
    monkeypatch.setattr(fuzzy, "_MOST_FITTED", 20)
    found = c_means(rows, 3)
    assert found.fitted == 200
    assert len(set(found.degrees.argmax(axis=1).tolist())) == 3


def test_fewer_different_rows_than_classes_are_refused() -> None:
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1e-12, 1.0]])
    with pytest.raises(ModelError, match="only 2 different rows for 3 classes"):
        classes_by_profile(rows, 3, [0.0, 0.2])
    assert classes_by_profile(rows, 2, [0.0, 0.2]).codes.tolist() == [1, 0, 1, 1]


def test_steps_that_run_out_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzy, "_MOST_STEPS", 2)
    assert "ran out of steps" in classes_by_profile(profiles(8), 4, RETURNS).notes[0]


def test_a_class_that_is_nobodys_first_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = fuzzy.Clusters(
        np.eye(3)[:, :3], np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]]), 1.0, 2, True
    )
    monkeypatch.setattr("credit_portfolio.evaluation.classes.c_means", lambda *_, **__: clusters)
    found = classes_by_profile(np.eye(3)[:2], 3, RETURNS)
    assert found.sizes.tolist() == [2, 0, 0]
    assert "nobody belongs mostly to 'profile 2" in found.notes[-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_classes": 1}, "expected at least 2"),
        ({"starts": 0}, "starts is 0; expected at least 1"),
        ({"fuzziness": 1.0}, "fuzziness is 1.0"),
        ({"fuzziness": math.nan}, "fuzziness is nan"),
        ({"centres": [0.1]}, "centres"),
    ],
)
def test_arguments_of_profiles_that_do_not_fit_are_refused(
    options: dict[str, Any], words: str
) -> None:
    given: dict[str, Any] = {"n_classes": 2, "centres": RETURNS, **options}
    with pytest.raises(ModelError, match=words):
        classes_by_profile(profiles(1), **given)


def test_rows_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        classes_by_profile(np.array([[np.nan, 1.0], [0, 1]]), 2, [0.0, 0.2])


# ----------------------------------------------------------------------------------------- labels


def test_labels_become_classes_in_alphabetical_order() -> None:
    found = classes_by_label(pd.Series(["retail", "food", "retail"], name="industry"))
    assert found.names == ("food", "retail")
    assert found.codes.tolist() == [1, 0, 1]
    assert (found.origin, found.notes, found.degrees) == ("column industry", (), None)


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_labels_are_a_class_and_are_told(nothing: Any) -> None:
    found = classes_by_label(["z", nothing, "a", nothing])
    assert found.names == ("a", "z", "(none)")
    assert found.codes.tolist() == [1, 2, 0, 2]
    assert found.notes == ("2 of 4 customers have no label; they are class '(none)'",)


def test_labels_are_matched_by_customer_id() -> None:
    labels = pd.Series({"B": "x", "A": "y", "C": "z"})
    found = classes_by_label(labels, ["A", "D", "B"], origin="grade")
    assert found.names == ("x", "y", "(none)")
    assert found.codes.tolist() == [1, 2, 0]
    assert (found.origin, len(found.notes)) == ("grade", 1)


def test_categories_numbers_and_a_label_that_reads_none() -> None:
    assert classes_by_label(pd.Series(["b", "a", None], dtype="category")).names == (
        "a", "b", "(none)",
    )  # fmt: skip
    assert classes_by_label(np.array([3, 1, 3])).names == ("1", "3")
    assert classes_by_label([None, None]).codes.tolist() == [0, 0]
    found = classes_by_label(["(none)", None, "b"])
    assert (found.names, found.codes.tolist()) == (("b", "(none)"), [1, 1, 0])


def test_labels_that_say_two_things_are_refused() -> None:
    with pytest.raises(DataError, match="same text: '1'"):
        classes_by_label([1, "1", "2"])
    with pytest.raises(DataError, match="more than once: 'A'"):
        classes_by_label(pd.Series(["x", "y"], index=["A", "A"]), ["A"])
    with pytest.raises(TypeError, match="expected a Series"):
        classes_by_label(["x"], ["A"])
    with pytest.raises(DataError, match="no labels"):
        classes_by_label([])


@pytest.mark.parametrize(
    ("names", "codes", "words"),
    [
        (("a", "a"), [0, 1], "different names"),
        ((), [], "different names"),
        (("a",), [0, 1], "codes run from 0 to 1"),
        (("a",), [-1], "codes run from -1"),
        (("a",), [0.0], "whole number"),
    ],
)
def test_classes_that_contradict_themselves_are_refused(names: Any, codes: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        CustomerClasses(names, np.array(codes), None, "by hand")
    with pytest.raises(ModelError, match="degrees has shape"):
        CustomerClasses(("a",), np.array([0]), np.ones((1, 2)), "by hand")


# ------------------------------------------------------------------------------- panel and rows


def test_class_returns_are_those_of_loops_over_customers() -> None:
    rng = np.random.default_rng(9)
    returns = np.where(rng.random((6, 25)) < 0.5, np.nan, rng.normal(0.1, 0.2, (6, 25)))
    costs = np.where(np.isnan(returns), 0.0, rng.lognormal(5, 2, (6, 25)))
    codes = rng.integers(0, 5, 25)
    returns[2, codes == 1], costs[2, codes == 1] = np.nan, 0.0
    panel = class_panel(returns, costs, by_hand(codes, 6))
    for t in range(6):
        for c in range(6):
            sold = [i for i in range(25) if codes[i] == c and not math.isnan(returns[t, i])]
            cost = math.fsum(costs[t, i] for i in sold)
            profit = math.fsum(costs[t, i] * returns[t, i] for i in sold)
            assert panel.costs[t, c] == pytest.approx(cost, rel=1e-12)
            if sold:
                assert panel.values[t, c] == pytest.approx(profit / cost, rel=1e-10, abs=1e-12)
            else:
                assert math.isnan(panel.values[t, c])
    assert math.isnan(panel.values[2, 1])
    assert panel.names == tuple(f"c{c}" for c in range(6))


def test_customers_that_are_their_own_class_keep_their_returns() -> None:
    returns = np.array([[0.1, np.nan], [0.2, -0.3]])
    panel = class_panel(returns, np.array([[3.0, 0], [1, 2]]), by_hand([0, 1]))
    np.testing.assert_allclose(panel.values, returns, rtol=1e-15)


@pytest.mark.parametrize(
    ("value", "cost"), [(0.1, 0.0), (0.1, np.nan), (0.1, np.inf), (np.inf, 1.0)]
)
def test_a_return_without_a_cost_to_weigh_it_is_refused(value: float, cost: float) -> None:
    with pytest.raises(DataError, match="period 1, customer 0"):
        class_panel(np.array([[0.1], [value]]), np.array([[1.0], [cost]]), by_hand([0]))


def test_a_panel_of_other_customers_is_refused() -> None:
    with pytest.raises(DataError, match="for 3 customers"):
        class_panel(np.zeros((2, 2)), np.ones((2, 2)), by_hand([0, 0, 1]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_rows_add_up_each_class(codes: list[int]) -> None:
    classes = by_hand(codes, 6)
    rows, w = class_rows(classes), np.random.default_rng(0).random(len(codes))
    assert rows.shape == (6, len(codes))
    assert rows.nnz == len(codes)
    np.testing.assert_allclose(rows @ w, np.bincount(codes, w, minlength=6), rtol=1e-12)
    assert np.array_equal(rows.toarray(), np.arange(6)[:, None] == np.array(codes))
    assert classes.sizes.tolist() == [codes.count(c) for c in range(6)]


# ---------------------------------------------------------------------------------------- sharing


def by_bisection(amount: float, limits: Any, low: Any, high: Any) -> Any:
    """The level at which everybody's min(max(λ L, low), high) adds up to the amount."""
    a, b = 0.0, 1.0
    for _ in range(200):
        middle = (a + b) / 2
        if np.clip(middle * limits, low, high).sum() < amount:
            a = middle
        else:
            b = middle
    return np.clip(b * limits, low, high)


money = st.integers(0, 60).map(lambda x: x / 4)


@st.composite
def books(draw: st.DrawFn) -> tuple[Any, ...]:
    n = draw(st.integers(1, 9))
    lists = st.lists(money, min_size=n, max_size=n)
    limits, caps, floors = (np.array(draw(lists)) for _ in range(3))
    high = np.minimum(limits, caps)
    low = np.minimum(floors, high) * draw(st.sampled_from([0.0, 0.5, 1.0]))
    codes = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    part = draw(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.99, 1.0]), min_size=3, max_size=3))
    sums = [np.bincount(codes, x, minlength=3) for x in (low, high)]
    return limits, caps, low, high, codes, sums[0] + np.array(part) * (sums[1] - sums[0])


@given(books())
def test_credit_is_shared_as_bisection_shares_it(given_book: tuple[Any, ...]) -> None:
    limits, caps, low, high, codes, amounts = given_book
    shared = share_by_limit(amounts, limits, by_hand(codes, 3), floors=low, caps=caps)
    assert ((low <= shared) & (shared <= high)).all()
    for c in range(3):
        inside = codes == c
        assert math.fsum(shared[inside]) == pytest.approx(amounts[c], rel=1e-14, abs=1e-13)
        expected = by_bisection(amounts[c], limits[inside], low[inside], high[inside])
        np.testing.assert_allclose(shared[inside], expected, rtol=1e-12, atol=1e-12)


def test_without_floors_and_caps_sharing_is_in_proportion() -> None:
    limits = np.array([10.0, 30.0, 0.0, 5.0, 15.0])
    shared = share_by_limit([20.0, 4.0], limits, by_hand([0, 0, 0, 1, 1]))
    np.testing.assert_allclose(shared, [5, 15, 0, 1, 3], rtol=1e-15)


def test_large_books_add_up_to_the_last_digits() -> None:
    rng = np.random.default_rng(10)
    limits, codes = rng.lognormal(10, 2, 50_000), rng.integers(0, 7, 50_000)
    amounts = np.bincount(codes, limits) * (0.1 + 0.8 * rng.random(7))
    shared = share_by_limit(
        amounts, limits, by_hand(codes), caps=limits * 0.99, floors=limits * rng.random(50_000) / 99
    )
    for c in range(7):
        missing = math.fsum(shared[codes == c]) - amounts[c]
        assert abs(missing) <= 4 * np.spacing(amounts[c])


def test_a_level_at_which_nobody_grows_is_found() -> None:
    """Four customers are at their caps, the fifth still at his floor: the slopes cancel."""
    rng = np.random.default_rng(1)
    classes, floors = by_hand([0] * 5), np.array([0, 0, 0, 0, 0.9])
    for _ in range(3000):  # in few of them the slopes leave a rounding that is not zero
        limits = np.append(rng.random(4), 1.0)
        caps = np.append(limits[:4] * rng.random(4) * 0.3, 1.0)
        amount = math.fsum(caps[:4]) + 0.9
        shared = share_by_limit([amount], limits, classes, floors=floors, caps=caps)
        assert np.abs(shared - np.append(caps[:4], 0.9)).max() < 1e-14


def test_all_that_a_class_may_owe_can_be_shared() -> None:
    limits = np.array([0.1, 0.2, 0.3])
    assert share_by_limit([limits.sum()], limits, by_hand([0, 0, 0])).tolist() == limits.tolist()


@pytest.mark.parametrize(
    ("amounts", "limits", "options", "words"),
    [
        ([5.0, 0.0], [0.0, 9.0], {}, "class 'c0' has credit of 5.00 and 1 customers without any"),
        ([0.0, 10.0], [1.0, 9.0], {}, "1.00 above what its 1 customers may owe together, 9.00"),
        ([1.0, 8.0], [1.0, 9.0], {"caps": [1, 7]}, "1.00 above"),
        ([0.0, 1.0], [1.0, 9.0], {"floors": [0, 3]}, "2.00 below the floors"),
    ],
)
def test_credit_that_cannot_be_shared_is_refused_with_the_numbers(
    amounts: Any, limits: Any, options: Any, words: str
) -> None:
    with pytest.raises(InfeasibleError, match=words) as caught:
        share_by_limit(amounts, limits, by_hand([0, 1]), **options)
    assert caught.value.shortfall is not None
    assert caught.value.conflict


def test_a_class_without_customers_can_have_no_credit() -> None:
    with pytest.raises(InfeasibleError, match=r"of 2\.00 and no customer"):
        share_by_limit([1.0, 2.0], [5.0], by_hand([0], 2))
    assert share_by_limit([1.0, 0.0], [5.0], by_hand([0], 2)).tolist() == [1.0]


@pytest.mark.parametrize(
    ("amounts", "limits", "options", "words"),
    [
        ([1.0], [np.inf, 2], {}, "limits has inf at position 0 .*cannot be shared by it"),
        ([1.0], [np.nan, 2], {}, "limits has nan"),
        ([-1.0], [1, 2], {}, "class_amounts has -1.0"),
        ([1.0, 1.0], [1, 2], {}, "class_amounts has shape"),
        ([1.0], [1, 2], {"floors": [2, 0]}, "floor of customer 0 is 2.00, above"),
        ([1.0], [1, 2], {"caps": [1, -2]}, "caps has -2.0"),
    ],
)
def test_money_that_is_none_is_refused(amounts: Any, limits: Any, options: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        share_by_limit(amounts, limits, by_hand([0, 0]), **options)


def test_an_infinite_cap_is_no_cap() -> None:
    shared = share_by_limit([3.0], [4.0, 2.0], by_hand([0, 0]), caps=[np.inf, np.inf])
    np.testing.assert_allclose(shared, [2.0, 1.0])
