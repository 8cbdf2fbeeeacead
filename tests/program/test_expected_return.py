"""Filling the best first: the optimum of one row under budget and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.optimize import linprog

from credit_portfolio.program.expected_return import fill_best


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 8),
    lowest=st.booleans(),
    ties=st.booleans(),
    open_top=st.booleans(),
)
def test_filling_the_best_first_is_the_optimum_of_a_linear_program(seed, n, lowest, ties, open_top):
    random = np.random.default_rng(seed)
    row = random.random(n).round(1 if ties else 6)
    lower = random.random(n) / (2 * n) * random.integers(0, 2, n)
    upper = lower + random.random(n)
    upper[0] += max(0.0, 1 - upper.sum())
    if open_top:
        upper[-1] = np.inf
    box = [(a, None if np.isinf(b) else b) for a, b in zip(lower, upper, strict=True)]
    sign = 1 if lowest else -1
    found = linprog(sign * row, A_eq=np.ones((1, n)), b_eq=[1], bounds=box)
    reached = -sign * fill_best(-sign * row, lower, upper, 1.0)
    assert reached == pytest.approx(sign * found.fun, abs=1e-9)
