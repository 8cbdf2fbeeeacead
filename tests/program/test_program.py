"""The program as data: shapes, refusals, and the plain algebra of its objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import sparse

from credit_portfolio.errors import ModelError
from credit_portfolio.program.program import CreditProgram

# Two orders of summation of the same few products.
ALGEBRA = 1e-12


@given(st.integers(0, 10_000))
def test_objective_gradient_and_activity_are_the_plain_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, q = (int(x) for x in rng.integers(1, 9, 3))
    F, D, c = rng.normal(size=(k, n)), rng.uniform(size=n), rng.normal(size=n)
    A = rng.normal(size=(q, n)) * (rng.random((q, n)) < 0.5)
    w = rng.normal(size=n)
    sigma = np.array([[F[:, i] @ F[:, j] + D[i] * (i == j) for j in range(n)] for i in range(n)])
    for rows in (A, sparse.csr_array(A), sparse.coo_matrix(A)):
        program = CreditProgram(factors=F, idiosyncratic=D, linear=c, rows=rows)
        assert program.objective(w) == pytest.approx(w @ sigma @ w + c @ w, rel=1e-9, abs=ALGEBRA)
        assert program.gradient(w) == pytest.approx(2 * sigma @ w + c, rel=1e-9, abs=ALGEBRA)
        assert program.activity(w) == pytest.approx(A @ w, rel=1e-9, abs=ALGEBRA)


def test_what_is_left_out_has_its_documented_default() -> None:
    program = CreditProgram(factors=[[0.1, 0.2]])
    assert (program.n_customers, program.n_factors, program.n_rows) == (2, 1, 0)
    assert program.idiosyncratic.tolist() == [0, 0]
    assert program.linear.tolist() == [0, 0]
    assert program.lower.tolist() == [0, 0]
    assert program.upper.tolist() == [np.inf, np.inf]
    assert CreditProgram(rows=np.ones((2, 3))).row_names == ("row 0", "row 1")


def test_one_number_stands_for_every_customer_or_row() -> None:
    program = CreditProgram(idiosyncratic=0.5, rows=np.ones((2, 3)), row_lower=1, upper=0.4)
    assert program.idiosyncratic.tolist() == [0.5] * 3
    assert program.row_lower.tolist() == [1.0] * 2
    assert program.upper.tolist() == [0.4] * 3


def test_sparse_rows_stay_sparse_and_repeated_entries_add_up() -> None:
    twice = sparse.coo_array(([1.0, 2.0, 4.0], ([0, 0, 0], [1, 1, 2])), shape=(1, 3))
    program = CreditProgram(rows=twice)
    assert sparse.issparse(program.rows)
    assert program.activity(np.array([10.0, 100.0, 1000.0])).tolist() == [4300.0]


def test_the_program_cannot_be_changed_and_large_input_is_not_copied() -> None:
    F = np.ones((2, 3))
    program = CreditProgram(factors=F)
    assert np.shares_memory(program.factors, F)
    with pytest.raises(ValueError, match="read-only"):
        program.factors[0, 0] = 2.0
    with pytest.raises(AttributeError):
        program.lower = np.zeros(3)  # type: ignore[misc]
    F[0, 0] = 1.5  # the caller's own array stays writable


GOOD: dict[str, Any] = {
    "factors": np.ones((2, 3)),
    "idiosyncratic": np.ones(3),
    "rows": np.ones((1, 3)),
    "row_lower": [1.0],
    "row_upper": [1.0],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": np.ones(3)}, r"factors has shape \(3,\); expected two dimensions"),
        ({"factors": np.ones((2, 0)), "rows": None}, "no customers|expected"),
        ({"factors": [["a", "b", "c"]]}, "factors holds something that is not a number"),
        ({"factors": [[1, np.nan, 1]]}, r"factors has NaN at \[\[0, 1\]\]"),
        ({"factors": [[1, np.inf, 1]]}, "factors has an infinite entry"),
        ({"idiosyncratic": np.ones(2)}, r"idiosyncratic has shape \(2,\); expected \(3,\)"),
        ({"idiosyncratic": [1, -0.5, 1]}, r"idiosyncratic\[1\] is -0.5; a variance cannot be"),
        ({"idiosyncratic": [1, np.nan, 1]}, "idiosyncratic has NaN"),
        ({"idiosyncratic": np.inf}, "idiosyncratic has an infinite entry"),
        ({"linear": [1, 2]}, r"linear has shape \(2,\)"),
        ({"linear": [1, 2, np.inf]}, "linear has an infinite entry"),
        ({"rows": np.ones((1, 4))}, "rows has 4 columns, but factors has 3 customers"),
        ({"rows": np.ones(3)}, r"rows has shape \(3,\)"),
        ({"rows": [[1, np.nan, 1]]}, "rows has NaN"),
        ({"rows": [[1, -np.inf, 1]]}, "rows has an infinite entry"),
        ({"rows": sparse.csr_array([[1, np.nan, 1]])}, "rows has NaN among its stored entries"),
        ({"rows": sparse.csr_array([[1, np.inf, 1]])}, "rows has an infinite entry"),
        ({"row_lower": [1, 1]}, r"row_lower has shape \(2,\); expected \(1,\).*1 rows"),
        ({"row_lower": [np.nan]}, "row_lower has NaN"),
        ({"row_lower": [1.1]}, r"row_lower\[0\] is 1.1 and row_upper\[0\] is 1.0: no number"),
        ({"row_upper": [-np.inf], "row_lower": [-np.inf]}, r"row_upper\[0\] is -inf"),
        ({"lower": np.inf}, r"lower\[0\] is inf"),
        ({"lower": [0, 0.5, 0.6], "upper": 0.4}, r"lower\[1\] is 0.5 .*upper\[1\] is 0.4.*2 such"),
        ({"upper": [1, np.nan, 1]}, "upper has NaN"),
        ({"upper": np.ones((3, 1))}, r"upper has shape \(3, 1\)"),
        ({"row_names": ["budget", "low"]}, "row_names has 2 names for 1 rows"),
    ],
)
def test_a_program_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        CreditProgram(**{**GOOD, **changes})


def test_the_number_of_customers_must_follow_from_something() -> None:
    with pytest.raises(ModelError, match="cannot tell the number of customers"):
        CreditProgram(idiosyncratic=1.0)
    assert CreditProgram(upper=[0.5, 0.5]).n_customers == 2


def test_no_customers_are_refused() -> None:
    with pytest.raises(ModelError, match="no customers"):
        CreditProgram(factors=np.ones((2, 0)))


def test_equal_and_infinite_bounds_are_fine() -> None:
    program = CreditProgram(rows=[[1, 1]], row_lower=1, row_upper=1, lower=-np.inf, upper=[0, 1])
    assert program.lower.tolist() == [-np.inf, -np.inf]
    assert "n=2 customers" in repr(program)
