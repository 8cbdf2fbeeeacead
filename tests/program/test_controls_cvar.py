"""CVaR of the periods: by hand, as a linear program, and its translation."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.program.cvar import Tail, with_tail
from credit_portfolio.program.program import CreditProgram

EXACT = 1e-12


def by_fractions(losses: list[Fraction], confidence: Fraction) -> Fraction:
    """Mean over the worst part of the periods, each cut off its weight exactly."""
    left, total = 1 - confidence, Fraction(0)
    for loss in sorted(losses, reverse=True):
        taken = min(left, Fraction(1, len(losses)))
        total, left = total + taken * loss, left - taken
    return total / (1 - confidence)


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=12),
    st.integers(0, 19),
)
def test_cvar_is_the_mean_of_the_worst_part_in_exact_fractions(
    losses: list[int], twentieths: int
) -> None:
    tail = Tail([[-loss / 10] for loss in losses], twentieths / 20)
    exact = by_fractions([Fraction(loss, 10) for loss in losses], Fraction(twentieths, 20))
    assert tail.of(np.ones(1)) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)


@given(st.integers(0, 10_000))
def test_cvar_is_the_least_value_of_the_translation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 12)), int(rng.integers(1, 6))
    tail = Tail(rng.normal(size=(m, n)), float(rng.choice([0, 0.3, 0.5, 0.9])), 0.25)
    program = CreditProgram(
        factors=rng.normal(size=(2, n)), idiosyncratic=rng.random(n), linear=rng.normal(size=n),
        rows=np.ones((1, n)), row_lower=1, row_upper=1, row_names=["budget"],
    )  # fmt: skip
    wide = with_tail(program, tail)
    w = rng.dirichlet(np.ones(n))
    losses = tail.losses(w)
    # The best t for given shares is one of the losses.
    tried = []
    for t in losses:
        x = np.concatenate([w, [t], np.maximum(losses - t, 0)])
        assert (wide.activity(x)[1:] >= -EXACT).all()
        assert (x >= wide.lower).all()
        assert (x <= wide.upper).all()
        tried.append(wide.objective(x))
    variance = program.objective(w) - program.linear @ w
    asked = tail.of(w) + 0.25 * variance + program.linear @ w
    assert min(tried) == pytest.approx(asked, rel=1e-10, abs=EXACT)


def test_a_missing_cell_counts_as_the_customers_mean() -> None:
    tail = Tail([[0.2, np.nan], [0.4, 0.1], [np.nan, 0.3]])
    np.testing.assert_allclose(tail.returns, [[0.2, 0.2], [0.4, 0.1], [0.3, 0.3]], rtol=EXACT)


def test_weights_of_periods_are_brought_back_to_a_mix() -> None:
    tail = Tail(np.zeros((4, 1)), 0.5)
    assert tail.weight == pytest.approx(0.5)
    for given_ in ([0.5, 0.5 - 1e-9, 1e-9, 0], [0.6, 0.1, -0.2, 0.1], [0, 0, 0, 0]):
        mix = tail.mix(np.array(given_))
        assert mix.sum() == pytest.approx(1, abs=EXACT)
        assert (mix >= 0).all()
        assert (mix <= 0.5 + EXACT).all()


def test_the_columns_of_the_tail_are_bounded_where_the_book_says_so() -> None:
    R = np.array([[0.1, -0.5], [0.2, 0.3]])
    budget = {"rows": [[1, 1]], "row_lower": 1, "row_upper": 1}
    bounded = with_tail(CreditProgram(idiosyncratic=[1, 1], **budget), Tail(R))
    assert -0.31 < bounded.lower[2] < -0.3
    assert 0.5 < bounded.upper[2] < 0.51
    boxed = with_tail(CreditProgram(idiosyncratic=[1, 1], upper=1.0), Tail(R))
    assert -0.51 < boxed.lower[2] < -0.5
    free = with_tail(CreditProgram(idiosyncratic=[1, 1]), Tail(R))
    assert free.lower[2] == -np.inf
    assert free.upper[3] == np.inf


@pytest.mark.parametrize(
    ("given_", "error", "said"),
    [
        ({"returns": [[0.1]], "confidence": 1.0}, ModelError, "below 1"),
        ({"returns": [[0.1]], "confidence": -0.1}, ModelError, "from 0"),
        ({"returns": [[0.1]], "variance_weight": -1}, ModelError, "0 or more"),
        ({"returns": [0.1]}, ModelError, "expected \\(periods, customers\\)"),
        ({"returns": [[0.1, np.inf]]}, DataError, "infinite returns"),
        ({"returns": [[0.1, np.nan]]}, DataError, "no return in any period \\(columns 1\\)"),
        ({"returns": [[0.1]], "periods": ["a", "b"]}, ModelError, "2 names for 1 periods"),
        ({"returns": [[0.1, 0.2, 0.3]]}, ModelError, "3 customers, the program 2"),
    ],
)
def test_wrong_tails_are_refused(given_: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        with_tail(CreditProgram(idiosyncratic=[1.0, 1.0]), Tail(**given_))
