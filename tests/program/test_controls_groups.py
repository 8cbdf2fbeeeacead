"""Groups and the least expected return: rows, their names, and what is refused with numbers."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from scipy import sparse
from scipy.optimize import linprog

from credit_portfolio.errors import DataError, InfeasibleError, ModelError
from credit_portfolio.program.expected_return import (
    best_return,
    budget_of,
    with_expected_return,
)
from credit_portfolio.program.groups import with_groups
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.rewriting import altered, with_rows
from credit_portfolio.solvers import solve

# Sums of a few shares.
EXACT = 1e-12

LABELS = {
    "region": ["north", "north", "south", "south", "south"],
    "industry": ["steel", "food", "steel", "food", "food"],
}


def book(n: int = 5, **changes: Any) -> CreditProgram:
    arguments: dict[str, Any] = {
        "idiosyncratic": np.linspace(0.01, 0.05, n),
        "rows": np.ones((1, n)),
        "row_lower": 1.0,
        "row_upper": 1.0,
        "upper": 0.6,
        "row_names": ["budget"],
    }
    return CreditProgram(**{**arguments, **changes})


def test_a_group_is_a_sparse_row_of_its_members() -> None:
    grouped = with_groups(book(), LABELS, {"region": {"north": 0.3}, "industry": {"food": 0.5}})
    assert sparse.issparse(grouped.rows)
    assert grouped.row_names == ("budget", "region = north", "industry = food")
    np.testing.assert_array_equal(
        np.asarray(grouped.rows.todense()), [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 1]]
    )
    np.testing.assert_array_equal(grouped.row_upper, [1, 0.3, 0.5])
    np.testing.assert_array_equal(grouped.row_lower, [1, -np.inf, -np.inf])


def test_nested_groups_hold_together() -> None:
    labels = pd.DataFrame(LABELS)
    labels["both"] = labels["region"] + " / " + labels["industry"]
    bounds = {
        "region": {"north": (0.2, 0.3)},
        "both": {"north / steel": (None, 0.05), "south / food": 0.25},
    }
    solution = solve(with_groups(book(), labels, bounds))
    w = solution.x
    assert solution.status == "optimal"
    assert 0.2 - EXACT <= w[:2].sum() <= 0.3 + EXACT
    assert w[0] <= 0.05 + EXACT
    assert w[3:].sum() <= 0.25 + EXACT
    # The plain optimum breaks each of them, so that they are what holds it.
    free = solve(book()).x
    assert free[:2].sum() > 0.3
    assert free[0] > 0.05


def test_labels_are_matched_by_customer_where_ids_are_given() -> None:
    ids = ["a", "b", "c", "d", "e"]
    table = pd.DataFrame(LABELS, index=ids)
    shuffled = table.loc[["d", "b", "e", "a", "c"]]
    plain = with_groups(book(), table, {"industry": {"steel": 0.2}}, ids)
    other = with_groups(book(), shuffled, {"industry": {"steel": 0.2}}, ids)
    np.testing.assert_array_equal(plain.rows.todense(), other.rows.todense())


def test_auxiliary_columns_are_left_alone() -> None:
    program = book(7, rows=[[1, 1, 1, 1, 1, 0, 0]])
    grouped = with_groups(program, LABELS, {"region": {"south": 0.5}}, customers=5)
    np.testing.assert_array_equal(np.asarray(grouped.rows.todense())[1], [0, 0, 1, 1, 1, 0, 0])
    asked = with_expected_return(program, [0.1, 0.2, 0.1, 0.2, 0.3], 0.15, customers=5)
    np.testing.assert_array_equal(np.asarray(asked.rows)[1], [0.1, 0.2, 0.1, 0.2, 0.3, 0, 0])


@pytest.mark.parametrize(
    ("labels", "bounds", "error", "said"),
    [
        (LABELS, {"regoin": {"north": 0.3}}, ModelError, r"Did you mean 'region'\?"),
        (LABELS, {"region": {"nort": 0.3}}, ModelError, r"Did you mean 'north'\?"),
        (LABELS, {"region": {"north": 1.3}}, ModelError, "between 0 and 1"),
        (LABELS, {"region": {"north": (0.4, 0.3)}}, ModelError, "above its cap"),
        (LABELS, {"region": {"north": (0.4, 0.3, 0.2)}}, ModelError, "expected a cap, or"),
        (LABELS, {"region": {"north": "30%"}}, TypeError, "expected a number"),
        ({"region": ["north", None, "south", "south", None]}, {"region": {"north": 0.3}},
         DataError, "2 customers have no region: 1, 4"),
        ({"region": ["north"] * 6}, {"region": {"north": 0.3}}, ModelError, "6 customers"),
        ({"region": ["north"], "x": ["a", "b"]}, {"region": {}}, DataError, "differ in length"),
        ("north", {}, TypeError, "expected a DataFrame"),
    ],
)  # fmt: skip
def test_wrong_labels_and_bounds_are_refused(
    labels: Any, bounds: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        with_groups(book(), labels, bounds)


def test_a_customer_without_a_row_of_labels_is_named() -> None:
    table = pd.DataFrame({"region": ["north", "south"]}, index=["a", "b"])
    with pytest.raises(DataError, match="lacks 1 customers of the program: 'c'") as caught:
        with_groups(book(3), table, {"region": {"north": 0.5}}, ["a", "b", "c"])
    assert caught.value.failures["customer_id"].tolist() == ["c"]
    doubled = pd.concat([table, table])
    with pytest.raises(DataError, match="more than once"):
        with_groups(book(2), doubled, {"region": {"north": 0.5}}, ["a", "b"])


def test_a_cap_below_the_floors_of_the_members_is_told_with_numbers() -> None:
    program = book(lower=[0.2, 0.15, 0, 0, 0])
    with pytest.raises(InfeasibleError, match=r"35\.0000%.*5\.0000% above its cap of 30\.0000%"):
        with_groups(program, LABELS, {"region": {"north": 0.3}})
    with_groups(program, LABELS, {"region": {"north": 0.35}})


def test_a_floor_above_the_limits_of_the_members_is_told_with_numbers() -> None:
    with pytest.raises(InfeasibleError, match=r"20\.0000%.*5\.0000% below its floor") as caught:
        with_groups(book(upper=0.1), LABELS, {"region": {"north": (0.25, None)}})
    assert caught.value.conflict == ("region = north", "limits")


def test_no_name_of_a_row_occurs_twice() -> None:
    once = with_groups(book(), LABELS, {"region": {"north": 0.5}})
    with pytest.raises(ModelError, match="each name may occur once"):
        with_groups(once, LABELS, {"region": {"north": 0.4}})


def test_group_caps_have_the_price_of_moving_them() -> None:
    step = 1e-4
    bounds = [0.3 - step, 0.3, 0.3 + step]
    found = [solve(with_groups(book(), LABELS, {"region": {"north": cap}})) for cap in bounds]
    slope = (found[2].objective - found[0].objective) / (2 * step)
    assert slope == pytest.approx(-found[1].duals.rows[1], rel=1e-6)


# ------------------------------------------------------------------------------- expected return


@given(st.integers(0, 10_000))
def test_the_best_return_is_that_of_a_linear_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    lower = rng.uniform(0, 1, n) * rng.integers(0, 2, n) / n
    upper = lower + rng.uniform(0, 2, n) / n
    total = float(rng.uniform(lower.sum(), upper.sum()))
    row = np.round(rng.normal(size=n), 1)
    program = book(n, row_lower=total, row_upper=total, lower=lower, upper=upper)
    told = linprog(-row, A_eq=np.ones((1, n)), b_eq=[total], bounds=np.column_stack([lower, upper]))
    assert best_return(program, row) == pytest.approx(-told.fun, abs=1e-9)


def test_the_best_return_of_whole_shares_is_the_best_order() -> None:
    row = np.array([0.3, 0.1, 0.2])
    program = book(3, upper=[0.5, 1.0, 0.25])
    tried = []
    for order in permutations(range(3)):
        left, value = 1.0, 0.0
        for i in order:
            given_now = min(left, float(program.upper[i]))
            left, value = left - given_now, value + given_now * row[i]
        tried.append(value)
    assert best_return(program, row) == pytest.approx(max(tried), rel=EXACT)


def test_without_a_budget_the_best_return_is_that_of_the_bounds() -> None:
    program = CreditProgram(idiosyncratic=[1.0, 1.0], lower=[0.1, 0.2], upper=[0.5, np.inf])
    assert budget_of(program, 2) is None
    assert best_return(program, np.array([0.1, -0.2])) == pytest.approx(0.05 - 0.04, rel=EXACT)
    assert best_return(program, np.array([0.1, 0.2])) == np.inf


def test_the_budget_is_the_equality_with_entries_all_alike() -> None:
    two = book(3, rows=[[1, 2, 3], [2, 2, 2]], row_lower=[1, 3], row_upper=[1, 3],
               row_names=["a", "b"])  # fmt: skip
    assert budget_of(two, 3) == pytest.approx(1.5)
    assert budget_of(altered(two, rows=sparse.csr_array(two.rows)), 3) == pytest.approx(1.5)


def test_a_return_above_the_best_is_refused_with_numbers() -> None:
    mean = np.array([0.1, 0.2, 0.3, 0.1, 0.1])
    with pytest.raises(InfeasibleError, match=r"30\.0000%.*26\.0000% is the best.*4\.0000% less"):
        with_expected_return(book(), mean, 0.30)
    asked = solve(with_expected_return(book(), mean, 0.26))
    np.testing.assert_allclose(asked.x, [0, 0.4, 0.6, 0, 0], atol=1e-9)


def test_what_only_other_rows_rule_out_is_left_to_the_solver() -> None:
    mean = np.array([0.1, 0.2, 0.3, 0.1, 0.1])
    capped = with_groups(book(), LABELS, {"industry": {"steel": 0.3}})
    solution = solve(with_expected_return(capped, mean, 0.26))
    assert solution.status == "infeasible"
    assert set(solution.conflict) == {"budget", "industry = steel", "expected return"}


def test_wrong_means_are_refused() -> None:
    with pytest.raises(ModelError, match="mean has 2 customers, the program 5"):
        with_expected_return(book(), [0.1, 0.2], 0.0)
    with pytest.raises(ModelError, match="expected a finite number"):
        with_expected_return(book(), [0.1, np.nan, 0, 0, 0], 0.0)
    with pytest.raises(ModelError, match="expected a number"):
        with_expected_return(book(), np.zeros(5), np.nan)
    with pytest.raises(ModelError, match="do not fit"):
        with_rows(book(), np.ones((1, 6)), 0, 1, ["too wide"])
