"""Fuzzy degrees against the textbook's formulas, scikit-fuzzy itself, and the crisp intervals."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import skfuzzy
from hypothesis import given, strategies as st

from credit_portfolio.evaluation.fuzzy import MEMBERSHIPS, partition
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.evaluation.matrix import evaluation_matrix

EDGES = [-1, 0, 0.15, 0.2, 0.235, 0.25]
# A handful of roundings in numbers of the order of one, in either of two orders.
ROUNDING = 1e-12
# Flanks are as wide as 1e-2 here and their corners are known to 1e-16: relative to a flank 1e-14,
# with a margin for the fourth power.
SCALED = 1e-11

widths = st.one_of(st.sampled_from([1.0, 0.5, 1e-3]), st.floats(1e-3, 1.0))
shapes = st.sampled_from(MEMBERSHIPS)


@st.composite
def edge_lists(draw: st.DrawFn, least: float = 1e-3) -> list[float]:
    """Return any edges around 0, the widths of neighbours up to four orders of magnitude apart."""
    start = draw(st.floats(-2, 0.3))
    steps = draw(st.lists(st.floats(math.log(least), math.log(10)), min_size=1, max_size=7))
    return [start, *(start + np.cumsum(np.exp(steps)))]


# ------------------------------------------------------------------- the formulas, point by point


def corners(edges: list[float], j: int, width: float) -> tuple[float, float, float, float]:
    """h at both edges of an interval and the ends of its core, by the words of the docs."""
    size = [b - a for a, b in pairwise(edges)]
    k = len(size)
    below = width / 2 * min(size[j - 1], size[j]) if j > 0 else math.inf
    above = width / 2 * min(size[j], size[j + 1]) if j < k - 1 else math.inf
    return below, above, edges[j] + below, edges[j + 1] - above


def textbook(x: float, edges: list[float], j: int, shape: str, width: float) -> float:
    """Degree before normalisation; a side without an end stays 1."""
    k = len(edges) - 1
    below, above, low, high = corners(edges, j, width)
    size = edges[j + 1] - edges[j]
    if shape == "triangular":
        peak = (edges[j] + edges[j + 1]) / 2
        neighbour = j - 1 if x < peak else j + 1
        if not 0 <= neighbour < k:
            return 1.0
        other = edges[neighbour + 1] - edges[neighbour]
        half_base = size / 2 + width / 2 * min(size / other, other / size) * size
        return max(0.0, 1 - abs(x - peak) / half_base)
    if j > 0 and x < low:
        distance, h = low - x, below
    elif j < k - 1 and x > high:
        distance, h = x - high, above
    else:
        return 1.0
    if shape == "trapezoidal":
        return max(0.0, 1 - distance / (2 * h))
    if shape == "gaussian":
        return 2.0 ** -((distance / h) ** 2)
    return 1 / (1 + (distance / h) ** 4)


def by_library(x: float, edges: list[float], j: int, shape: str, width: float) -> float:
    """Compute the same by a call of scikit-fuzzy for this one return."""
    k = len(edges) - 1
    below, above, low, high = corners(edges, j, width)
    at = np.array([x])
    far = 100.0  # an end so far out that an outer interval is open for all that matters here
    if shape == "triangular":
        return float(skfuzzy.trimf(at, triangle(edges, j, width))[0])
    a, b = (edges[j] - below, low) if j > 0 else (-far, -far)
    c, d = (high, edges[j + 1] + above) if j < k - 1 else (far, far)
    if shape == "trapezoidal":
        return float(skfuzzy.trapmf(at, [a, b, c, d])[0])
    if shape == "gaussian":
        sigma = [h / math.sqrt(2 * math.log(2)) if h < math.inf else 1.0 for h in (below, above)]
        return float(skfuzzy.gauss2mf(at, b, sigma[0], c, sigma[1])[0])
    if x < b:
        return float(skfuzzy.gbellmf(at, below, 2, b)[0])
    return float(skfuzzy.gbellmf(at, above, 2, c)[0]) if x > c else 1.0


def triangle(edges: list[float], j: int, width: float) -> list[float]:
    size = np.diff(edges)
    peak = (edges[j] + edges[j + 1]) / 2
    t = [width / 2 * min(size[j] / size[i], size[i] / size[j]) for i in (j - 1, j + 1)]
    return [edges[j] - t[0] * size[j], peak, edges[j + 1] + t[1] * size[j]]


@pytest.mark.parametrize("width", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_degrees_are_the_textbooks_formulas_divided_by_their_sum(shape: str, width: float) -> None:
    x = np.linspace(-1, 0.25, 1_001)
    found = partition(x, np.array(EDGES), shape, width)
    for t, value in enumerate(x):
        raw = [textbook(value, EDGES, j, shape, width) for j in range(5)]
        assert found[t] == pytest.approx([d / sum(raw) for d in raw], abs=SCALED)


@pytest.mark.parametrize("width", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_degrees_are_what_scikit_fuzzy_gives_one_return_at_a_time(shape: str, width: float) -> None:
    x = np.linspace(-1, 0.25, 301)
    found = partition(x, np.array(EDGES), shape, width)
    # A triangle needs two neighbours for its two feet; the outer ones stand in the other test.
    inner = range(1, 4) if shape == "triangular" else range(5)
    for t, value in enumerate(x):
        raw = [textbook(value, EDGES, j, shape, width) for j in range(5)]
        for j in inner:
            raw[j] = by_library(value, EDGES, j, shape, width)
        assert found[t] == pytest.approx([d / sum(raw) for d in raw], abs=SCALED)


def test_a_trapezoid_by_hand() -> None:
    # Widths 1 and 0.2: at width 1 the transition at 0 is ±0.1. Widths 0.2 and 0.05: ±0.025 at 0.2.
    found = partition(
        np.array([-0.05, 0.05, 0.1, 0.19, 0.21]), np.array([-1, 0, 0.2, 0.25]), "trapezoidal", 1.0
    )
    by_hand = [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 1, 0], [0, 0.7, 0.3], [0, 0.3, 0.7]]
    assert found == pytest.approx(np.array(by_hand), abs=ROUNDING)


def test_with_equal_widths_triangles_are_trapezoids_once_normalised() -> None:
    edges, x = np.linspace(-1, 1, 6), np.linspace(-1, 1, 401)
    for width in (0.1, 0.5, 1.0):
        three, four = (partition(x, edges, s, width) for s in ("triangular", "trapezoidal"))
        np.testing.assert_allclose(three, four, atol=SCALED)


@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_transitions_may_meet_in_the_middle_whatever_the_rounding(shape: str) -> None:
    rng = np.random.default_rng(0)
    for step in rng.uniform(0.001, 1, 50):
        edges = -1 + step * np.arange(6)
        middles = (edges[:-1] + edges[1:]) / 2
        found = partition(middles, edges, shape, 1.0)
        assert found.argmax(axis=1).tolist() == [0, 1, 2, 3, 4]
        if shape in ("triangular", "trapezoidal"):
            assert found == pytest.approx(np.eye(5), abs=SCALED)


# ---------------------------------------------------------------------------- always a partition


@given(edge_lists(least=1e-8), shapes, st.floats(0, 1, exclude_min=True), st.data())
def test_degrees_are_a_partition_of_unity_for_any_edges_width_and_return(
    edges: list[float], shape: Any, width: float, data: st.DataObject
) -> None:
    anywhere = st.one_of(
        st.floats(-3, 3),
        st.sampled_from(edges),
        st.sampled_from(edges).map(lambda e: float(np.nextafter(e, 9))),
        st.sampled_from(edges).map(lambda e: float(np.nextafter(e, -9))),
        st.floats(allow_nan=False),  # far outside too, infinite ones included
    )
    returns = np.array(data.draw(st.lists(anywhere, min_size=1, max_size=12)))
    v = ReturnIntervals(edges, 0, membership=shape, width=width)
    degrees = v.degrees(returns)
    assert ((degrees >= 0) & (degrees <= 1)).all()
    np.testing.assert_allclose(degrees.sum(axis=1), 1.0, rtol=0, atol=ROUNDING)
    own = degrees[np.arange(returns.size), v.index(returns)]
    assert (own > 0).all()  # nothing is ever divided by zero


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6, 1e150, 1e300])
@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_the_scale_of_the_returns_does_not_matter(shape: str, scale: float) -> None:
    edges, x = np.array(EDGES), np.linspace(-1, 0.25, 101)
    found = partition(x * scale, edges * scale, shape, 0.5)
    np.testing.assert_allclose(found, partition(x, edges, shape, 0.5), atol=1e-9)


@pytest.mark.parametrize("width", [5e-324, 1e-300, 1e-17])
@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_a_width_that_underflows_still_makes_a_partition(shape: str, width: float) -> None:
    x = np.array([-1, -0.5, 0, 1e-17, 0.15, np.nextafter(0.15, 1), 0.2, 0.25])
    found = partition(x, np.array(EDGES), shape, width)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=ROUNDING)


@given(edge_lists(), shapes, widths)
def test_neighbours_are_equal_on_their_edge(edges: list[float], shape: Any, width: float) -> None:
    found = partition(np.array(edges[1:-1]), np.array(edges), shape, width)
    for j in range(len(edges) - 2):
        # Corners are rounded at the scale of the edges, flanks are down to 1e-11 of it.
        assert found[j, j] == pytest.approx(found[j, j + 1], rel=1e-3)
        assert found[j].argmax() in (j, j + 1)


@pytest.mark.parametrize("shape", ["triangular", "trapezoidal"])
def test_an_edge_between_straight_flanks_is_half_and_half(shape: str) -> None:
    found = partition(np.array(EDGES[1:-1]), np.array(EDGES), shape, 0.5)
    by_hand = [[0.5 if i in (j, j + 1) else 0.0 for i in range(5)] for j in range(4)]
    assert found == pytest.approx(np.array(by_hand), abs=SCALED)


@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_the_middle_of_a_transition_rises_and_falls_without_a_dent(shape: str) -> None:
    x = np.linspace(-0.5, 0.075, 2_001)  # middle to middle across the edge at 0
    found = partition(x, np.array(EDGES), shape, 0.5)
    assert (np.diff(found[:, 0]) <= ROUNDING).all()
    assert (np.diff(found[:, 1]) >= -ROUNDING).all()


# ------------------------------------------------------------------------------- the crisp limit


@given(edge_lists(), shapes, st.data())
def test_narrow_transitions_become_the_crisp_intervals_off_the_edges(
    edges: list[float], shape: Any, data: st.DataObject
) -> None:
    value = st.floats(edges[0], edges[-1]).filter(
        lambda r: min(abs(r - e) for e in edges[1:-1] or [99.0]) > 1e-4
    )
    returns = np.array(data.draw(st.lists(value, min_size=1, max_size=12)))
    crisp = ReturnIntervals(edges, 0)
    wide = np.abs(crisp.fuzzy(shape, 1.0).degrees(returns) - crisp.degrees(returns)).max()
    far = [
        np.abs(crisp.fuzzy(shape, width).degrees(returns) - crisp.degrees(returns)).max()
        for width in (1e-3, 1e-5, 1e-7)
    ]
    assert far[0] <= wide + ROUNDING
    # At width 1e-7 a transition reaches 1e-7 · 10/2 at the most, 200 times less than the distance
    # to the edge: the bell, the slowest, leaves the fourth power of that for each of 6 others.
    assert far[1] <= far[0] + ROUNDING
    assert far[2] <= far[1] + ROUNDING
    assert far[2] <= 6 * (1 / 199) ** 4


@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_the_matrix_converges_to_the_crisp_one(shape: Any) -> None:
    rng = np.random.default_rng(5)
    returns = rng.choice([-1, -0.2, 0.1, 0.18, 0.21, 0.24, 0.25], (12, 40))
    returns[rng.random((12, 40)) < 0.3] = np.nan
    returns[0] = 0.25
    crisp = ReturnIntervals(EDGES, 3)
    P = evaluation_matrix(returns, crisp).values
    gaps = [
        np.abs(evaluation_matrix(returns, crisp.fuzzy(shape, width)).values - P).max()
        for width in (1.0, 0.1, 0.01, 1e-3, 1e-6)
    ]
    assert all(b <= a for a, b in pairwise(gaps))
    assert gaps[0] > 0.01  # it was fuzzy
    assert gaps[-1] < 1e-15


@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_on_an_edge_the_limit_is_half_and_half_where_crisp_intervals_take_the_upper_one(
    shape: Any,
) -> None:
    v = ReturnIntervals(EDGES, 3)
    assert v.degrees(0.2).tolist() == [0, 0, 0, 1, 0]
    for width in (1e-2, 1e-4, 1e-6):
        assert v.fuzzy(shape, width).degrees(0.2) == pytest.approx([0, 0, 0.5, 0.5, 0], abs=1e-6)


# ------------------------------------------------------------------------------------ the outside


@pytest.mark.parametrize("shape", MEMBERSHIPS)
def test_a_return_on_or_beyond_an_outer_edge_is_wholly_in_the_outer_interval(shape: Any) -> None:
    v = ReturnIntervals(EDGES, 3, membership=shape, width=1.0)
    low = v.degrees([-1.0, -1 - 1e-12, -1 + 1e-12, -1.7, -1e9, -np.inf])
    high = v.degrees([0.25, 0.25 - 1e-12, 0.25 + 1e-12, 0.3, 1e9, np.inf])
    np.testing.assert_array_equal(low, [[1, 0, 0, 0, 0]] * 6)
    np.testing.assert_array_equal(high, [[0, 0, 0, 0, 1]] * 6)


def test_scikit_fuzzy_is_loaded_by_fuzzy_degrees_and_by_nothing_before() -> None:
    code = (
        "import sys, credit_portfolio as cp; v = cp.ReturnIntervals([-1, 0, 0.25], 1)\n"
        "v.degrees([0.1]); assert 'skfuzzy' not in sys.modules\n"
        "v.fuzzy('bell').degrees([0.1]); assert 'skfuzzy' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
