"""Small symmetric systems against exact answers, singular ones included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.solvers.symmetric import solve_symmetric


@given(seed=st.integers(0, 10_000), size=st.integers(1, 12), spread=st.floats(0, 6))
def test_a_regular_system_is_solved_whatever_its_units(seed: int, size: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, 2 * size)) * 10.0 ** rng.uniform(-spread, spread, size)[:, None]
    matrix = root @ root.T
    units = np.sqrt(np.diagonal(matrix))
    x = rng.normal(size=size) / units
    found = solve_symmetric(matrix, matrix @ x)
    # Of a matrix with unit diagonal and 2 size columns the condition stays below some 1e6.
    assert np.abs((found - x) * units).max() <= 1e-9 * max(np.abs(x * units).max(), 1.0)


def test_rows_that_say_the_same_twice_share_the_answer() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 9))
    root = np.vstack([root, root[2]])
    x = rng.normal(size=5)
    matrix = root @ root.T
    found = solve_symmetric(matrix, matrix @ x)
    assert matrix @ found == pytest.approx(matrix @ x)
    assert found[2] == pytest.approx(found[4])


def test_several_right_sides_are_solved_as_each() -> None:
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
    right = np.array([[1.0, 0.0, 2.0], [2.0, 1.0, 5.0]])
    both = solve_symmetric(matrix, right)
    for at in range(3):
        assert both[:, at] == pytest.approx(solve_symmetric(matrix, right[:, at]))


def test_an_unknown_that_appears_nowhere_is_zero() -> None:
    matrix = np.diag([2.0, 0.0])
    assert solve_symmetric(matrix, np.array([1.0, 0.0])).tolist() == [0.5, 0.0]


def test_no_unknowns_have_no_answer() -> None:
    assert solve_symmetric(np.zeros((0, 0)), np.zeros(0)).size == 0
