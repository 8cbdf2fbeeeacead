"""Crisp and fuzzy intervals and the matrix over them: what a caller sees."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.evaluation import matrix as matrix_module
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.evaluation.matrix import evaluation_matrix
from credit_portfolio.evaluation.sampling import smooth
from credit_portfolio.evaluation.targets import Targets

EDGES = [-1, 0, 0.15, 0.2, 0.235, 0.25]
NAMES = ("loss", "thin", "reduced", "nearly full", "full")
SHAPES = ["triangular", "trapezoidal", "gaussian", "bell"]
ALGEBRA = 1e-12  # sums of a few degrees


def intervals(membership: Any = "crisp", width: float | None = None) -> ReturnIntervals:
    return ReturnIntervals(EDGES, 3, NAMES, membership=membership, width=width)


def panel(seed: int, m: int = 9, n: int = 30) -> Any:
    rng = np.random.default_rng(seed)
    returns = np.where(rng.random((m, n)) < 0.3, 0.25, rng.uniform(-1, 0.25, (m, n)))
    returns[rng.random((m, n)) < 0.25] = np.nan
    returns[0] = rng.choice([-1, 0, 0.15, 0.2, 0.25], n)
    return returns


# ---------------------------------------------------------------------------------- specification


def test_intervals_are_crisp_unless_asked_to_be_fuzzy() -> None:
    assert (intervals().membership, intervals().width, intervals().is_fuzzy) == ("crisp", 0, False)
    fuzzy = intervals("bell")
    assert (fuzzy.membership, fuzzy.width, fuzzy.is_fuzzy) == ("bell", 0.5, True)
    assert intervals("bell", 1).width == 1.0


def test_the_same_edges_and_names_can_be_made_fuzzy_and_crisp_again() -> None:
    fuzzy = intervals().fuzzy("gaussian", 0.25)
    assert fuzzy.same_as(intervals("gaussian", 0.25))
    assert fuzzy.names == NAMES
    assert fuzzy.fuzzy("crisp").same_as(intervals())


def test_intervals_differ_by_edges_names_good_ones_membership_or_width() -> None:
    others = [
        ReturnIntervals([-1, 0, 0.15, 0.2, 0.23, 0.25], 3, NAMES),
        ReturnIntervals(EDGES, 2, NAMES),
        ReturnIntervals(EDGES, 3),
        intervals("bell"),
    ]
    assert intervals().same_as(intervals())
    assert not any(intervals().same_as(other) for other in others)
    assert not intervals("bell").same_as(intervals("bell", 0.4))
    assert not intervals("bell").same_as(intervals("gaussian"))


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_a_copy_is_the_same(twin: Any) -> None:
    assert twin(intervals("bell", 0.3)).same_as(intervals("bell", 0.3))


@pytest.mark.parametrize(
    ("membership", "width", "message"),
    [
        ("gausian", None, r"unknown membership 'gausian'; expected one of .*Did you mean 'gauss"),
        ("crisp", 0.2, r"crisp intervals have no transition, but width is 0\.2; leave it out"),
        ("bell", 0, "width is 0; a bell transition .* membership='crisp' has none"),
        ("bell", 1.01, "above 0 and at most 1"),
        ("bell", -0.1, "above 0 and at most 1"),
        ("bell", float("nan"), "above 0 and at most 1"),
        ("bell", True, "width is True"),
    ],
)
def test_memberships_and_widths_that_make_no_sense_are_refused(
    membership: Any, width: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        intervals(membership, width)


# ---------------------------------------------------------------------------------------- degrees


@pytest.mark.parametrize("membership", ["crisp", *SHAPES])
def test_degrees_keep_the_shape_of_the_returns_and_a_missing_return_has_none(
    membership: Any,
) -> None:
    v = intervals(membership)
    returns = panel(1)
    found = v.degrees(returns)
    assert found.shape == (9, 30, 5)
    missing = np.isnan(returns)
    assert (found[missing] == 0).all()
    np.testing.assert_allclose(found[~missing].sum(axis=1), 1, atol=ALGEBRA)
    assert v.degrees(0.1).shape == (5,)
    assert v.degrees(np.nan).tolist() == [0] * 5
    assert v.degrees([]).shape == (0, 5)


def test_crisp_degrees_are_one_in_the_interval_of_the_return() -> None:
    returns = panel(2).ravel()
    index, degrees = intervals().index(returns), intervals().degrees(returns)
    for j, row in zip(index, degrees, strict=True):
        assert row.tolist() == [float(i == j) for i in range(5)]


@pytest.mark.parametrize("membership", ["crisp", *SHAPES])
def test_a_single_interval_takes_everything(membership: Any) -> None:
    one = ReturnIntervals([-1, 0.25], 0, membership=membership)
    assert one.degrees([-2, -1, 0.1, 0.25, 3, np.nan]).ravel().tolist() == [1, 1, 1, 1, 1, 0]


# ----------------------------------------------------------------------------------------- matrix


def crisp_matrix_as_it_was(returns: Any, v: ReturnIntervals) -> tuple[Any, Any, Any]:
    """Count as it was done before there were fuzzy intervals: all cells in one piece."""
    n, k = returns.shape[1], v.n_intervals
    index = v.index(returns)
    seen = index >= 0
    column = np.broadcast_to(np.arange(n), index.shape)
    counts = np.bincount(column[seen] * k + index[seen], minlength=n * k).reshape(n, k)
    values = counts / counts.sum(axis=1)[:, None]
    inside = np.clip(returns[seen], v.edges[0], v.edges[-1])
    total = np.bincount(index[seen], weights=inside, minlength=k)
    count = np.bincount(index[seen], minlength=k)
    middle = (v.edges[:-1] + v.edges[1:]) / 2
    return values, counts, np.where(count > 0, total / np.maximum(count, 1), middle)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 60))
def test_crisp_intervals_give_the_same_matrix_to_the_last_bit(seed: int, m: int, n: int) -> None:
    returns = panel(seed, m, n) + np.random.default_rng(seed).choice(
        [0.0, 0.4], (m, n), p=[0.9, 0.1]
    )
    found = evaluation_matrix(returns, intervals(), outside="clip")
    values, counts, centres = crisp_matrix_as_it_was(returns, intervals())
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.centres, centres)
    np.testing.assert_array_equal(found.periods, (~np.isnan(returns)).sum(axis=0))
    np.testing.assert_array_equal(found.squares, counts)
    assert found.counts.dtype == np.int64


@pytest.mark.parametrize("membership", SHAPES)
def test_a_fuzzy_matrix_is_the_mean_of_the_degrees(membership: Any) -> None:
    returns = panel(3)
    v = intervals(membership, 0.8)
    found = evaluation_matrix(returns, v)
    for i in range(30):
        own = [v.degrees(r) for r in returns[:, i] if not np.isnan(r)]
        assert found.periods[i] == len(own)
        assert found.counts[i] == pytest.approx(sum(own), abs=ALGEBRA)
        assert found.squares[i] == pytest.approx(sum(d**2 for d in own), abs=ALGEBRA)
        assert found.values[i] == pytest.approx(sum(own) / len(own), abs=ALGEBRA)
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=ALGEBRA)
    assert (found.squares <= found.counts).all()


@pytest.mark.parametrize("membership", SHAPES)
def test_the_kept_sums_give_the_sampling_variance_of_each_degree(membership: Any) -> None:
    returns = panel(4)
    v = intervals(membership)
    found = evaluation_matrix(returns, v)
    m = found.periods[:, None]
    enough = found.periods >= 2
    variance = (found.squares - m * found.values**2)[enough] / (m * (m - 1))[enough]
    for i, row in zip(np.flatnonzero(enough), variance, strict=True):
        d = v.degrees(returns[~np.isnan(returns[:, i]), i])
        assert row == pytest.approx(d.var(axis=0, ddof=1) / len(d), abs=ALGEBRA)


@pytest.mark.parametrize("membership", ["crisp", *SHAPES])
def test_the_centres_keep_the_mean_of_all_returns(membership: Any) -> None:
    returns = panel(5)
    found = evaluation_matrix(returns, intervals(membership))
    pooled = found.counts.sum(axis=0) / found.counts.sum()
    assert pooled @ found.centres == pytest.approx(np.nanmean(returns), abs=ALGEBRA)


def test_an_interval_without_any_degree_is_centred_in_its_middle() -> None:
    found = evaluation_matrix(np.array([[0.25], [-1.0]]), intervals("trapezoidal"))
    assert found.centres == pytest.approx([-1, 0.075, 0.175, 0.2175, 0.25])


def test_clipped_returns_count_at_the_outer_edges() -> None:
    beyond, at = np.array([[0.9], [-7.0], [0.1]]), np.array([[0.25], [-1.0], [0.1]])
    clipped = evaluation_matrix(beyond, intervals("bell"), outside="clip")
    held = evaluation_matrix(at, intervals("bell"))
    np.testing.assert_array_equal(clipped.values, held.values)
    np.testing.assert_array_equal(clipped.centres, held.centres)


def test_customers_computed_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluation_matrix(panel(6), intervals("gaussian"))
    monkeypatch.setattr(matrix_module, "_AT_ONCE", 7)
    parts = evaluation_matrix(panel(6), intervals("gaussian"))
    np.testing.assert_array_equal(parts.values, whole.values)
    np.testing.assert_array_equal(parts.squares, whole.squares)
    np.testing.assert_allclose(parts.centres, whole.centres, atol=ALGEBRA)


@pytest.mark.parametrize("membership", ["crisp", "gaussian"])
def test_memory_is_of_the_order_of_the_input_and_the_matrix(membership: Any) -> None:
    n, m = 100_000, 24
    returns = np.tile(panel(7, 24, 100), (1, n // 100))
    v = intervals(membership)
    evaluation_matrix(returns[:, :100], v)  # load what is loaded once
    tracemalloc.start()
    try:
        evaluation_matrix(returns, v)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Three (n, k) arrays are kept; passing ones are of 65,536 customers or one byte a cell. The
    # degrees of all cells in one piece would be another 24 times (n, k).
    assert peak < 12 * 8 * n * 5 + 4 * n * m


def test_a_matrix_cannot_be_written_to() -> None:
    for membership in ("crisp", "bell"):
        found = evaluation_matrix(panel(8), intervals(membership))
        for table in (found.values, found.counts, found.squares, found.periods):
            with pytest.raises(ValueError, match="read-only"):
                table[0] = 0


def test_customers_without_periods_are_named_for_fuzzy_intervals_too() -> None:
    with pytest.raises(DataError, match="1 customers have no period with a sale: 'B'"):
        evaluation_matrix(np.array([[0.2, np.nan]]), intervals("bell"), customers=["A", "B"])


def test_fuzzy_rows_can_be_smoothed_and_without_strength_are_themselves() -> None:
    found = evaluation_matrix(panel(9), intervals("bell"))
    parts = found.counts, found.periods, found.squares
    np.testing.assert_array_equal(smooth(*parts).values, found.values)
    np.testing.assert_allclose(smooth(*parts, strength=2.0).values.sum(axis=1), 1, atol=ALGEBRA)


# ------------------------------------------------------------------- messages speak of names


def test_returns_outside_are_told_which_intervals_would_take_them() -> None:
    with pytest.raises(DataError, match="outer intervals, 'loss' and 'full', with outside='clip'"):
        evaluation_matrix(np.array([[0.4]]), intervals())


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"nearly": 0.1}, "no interval is named 'nearly'; there are 'loss', .*'nearly full'"),
        ({"los": 0.1}, "Did you mean 'loss'"),
        ({7: 0.1}, "interval 7; expected 0 to 4, or one of the names 'loss', 'thin'"),
        ({0: None}, "the target of interval 0 loss is None"),
        ({"full": np.nan}, "the target of interval 4 full is NaN"),
        ({3: 1.5}, "the target of interval 3 nearly full is 1.5"),
    ],
)
def test_messages_about_targets_name_the_interval(bounds: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Targets.explicit(bounds, intervals())


def test_too_few_targets_name_the_intervals() -> None:
    with pytest.raises(ModelError, match="2 targets for 5 intervals, 'loss', 'thin', 'reduced'"):
        Targets(np.array([0.1, 0.2]), intervals(), "by hand")
