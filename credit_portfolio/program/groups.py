"""Caps and floors on groups of customers by any label: industry, region, grade, class.

A group is a row with entries 0 and 1, so that groups may be nested or overlap as they like: an
industry within a region is one more row, labelled by a column of its own ("north / steel").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from credit_portfolio.errors import (
    DataError,
    InfeasibleError,
    ModelError,
    did_you_mean,
    listing,
)
from credit_portfolio.program.rewriting import check_customers, with_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Bound = float | tuple[float | None, float | None]
    Bounds = Mapping[str, Mapping[Any, Bound]]

# A sum of n bounds is known to about n ulps; what it misses by less than that it does not miss.
_ULP = float(np.finfo(float).eps)


def with_groups(
    program: CreditProgram,
    labels: pd.DataFrame | Mapping[str, Sequence[Any]],
    bounds: Bounds,
    names: Sequence[Any] | None = None,
    customers: int | None = None,
) -> CreditProgram:
    """Hold the credit of groups between a floor and a cap.

    Parameters
    ----------
    program : CreditProgram
        Its first columns are the customers; further ones are left alone.
    labels : DataFrame, or mapping of column to one label for each customer
        A DataFrame is matched by its index where ``names`` is given, else by position.
    bounds : mapping
        Column -> label -> cap, or (floor, cap), in parts of the budget; None leaves a side open.
    names : sequence, optional
        Ids of the customers in the program's order, for matching and for messages.
    customers : int, optional
        How many of the columns are customers, where some are auxiliary.

    Returns
    -------
    CreditProgram
        With a row "column = label" for each bound; sparse, its entries are the members.

    Raises
    ------
    ModelError
        For a column or label that does not occur, bounds that are no parts or cross, or labels of
        another number of customers.
    DataError
        For a customer without a label in a column that is used, or who is not in the table.
    InfeasibleError
        Where the floors of a group's members exceed its cap, or their caps miss its floor.

    Examples
    --------
    >>> from credit_portfolio.program.program import CreditProgram
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.02, 0.03], rows=[[1, 1, 1]],
    ...                         row_lower=1, row_upper=1, upper=0.6, row_names=["budget"])
    >>> grouped = with_groups(program, {"industry": ["steel", "food", "steel"]},
    ...                       {"industry": {"steel": 0.5, "food": (0.1, None)}})
    >>> grouped.row_names
    ('budget', 'industry = steel', 'industry = food')
    """
    table = _table(labels, names)
    check_customers("labels", len(table), program, customers)
    ids = np.asarray(table.index if names is None else list(names), dtype=object)
    members: list[NDArray[np.intp]] = []
    found: list[tuple[str, float, float]] = []
    for column, wanted in bounds.items():
        codes, known = _codes(table, column, ids)
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(known) + 1))
        for label, bound in wanted.items():
            at = _place(column, label, known)
            name = f"{column} = {label}"
            low, high = _bound(name, bound)
            group = order[ends[at] : ends[at + 1]]
            _check_reach(program, name, group, low, high)
            members.append(group)
            found.append((name, low, high))
    if not found:
        return program
    sizes = [group.size for group in members]
    entries = np.concatenate(members)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    rows: sparse.csr_array[np.float64, tuple[int, int]] = sparse.csr_array(
        (np.ones(entries.size), entries, ends), shape=(len(sizes), len(table))
    )
    titles, lows, highs = zip(*found, strict=True)
    return with_rows(program, rows, lows, highs, titles)


def _table(
    labels: pd.DataFrame | Mapping[str, Sequence[Any]], names: Sequence[Any] | None
) -> pd.DataFrame:
    if not isinstance(labels, (pd.DataFrame, Mapping)):
        raise TypeError(
            f"labels is a {type(labels).__name__}; expected a DataFrame with a row for each "
            "customer, or a mapping from column to labels"
        )
    if not isinstance(labels, pd.DataFrame):
        try:
            labels = pd.DataFrame({name: list(column) for name, column in labels.items()})
        except ValueError as error:
            raise DataError(f"the columns of labels differ in length: {error}") from error
        return labels
    if names is None:
        return labels
    doubled = labels.index[labels.index.duplicated()].unique()
    if len(doubled):
        raise DataError(
            f"labels names customers more than once: {listing(doubled)}; keep one row each"
        )
    at = labels.index.get_indexer(pd.Index(names))
    if (at < 0).any():
        missing = np.asarray(names, dtype=object)[at < 0]
        raise DataError(
            f"labels lacks {missing.size:,} customers of the program: {listing(missing)}; add a "
            "row for each",
            pd.DataFrame({"customer_id": missing}),
        )
    return labels.iloc[at]


def _codes(
    table: pd.DataFrame, column: str, ids: NDArray[np.object_]
) -> tuple[NDArray[np.intp], list[Any]]:
    if column not in table.columns:
        raise ModelError(
            f"bounds are given on {column!r}, but labels has the columns "
            f"{listing(table.columns)}.{did_you_mean(str(column), map(str, table.columns))}"
        )
    codes, known = pd.factorize(table[column])
    without = codes < 0
    if without.any():
        raise DataError(
            f"{int(without.sum()):,} customers have no {column}: {listing(ids[without])}; give "
            "each a label, such as 'other'",
            pd.DataFrame({"customer_id": ids[without], "column": column}),
        )
    return codes, list(known)


def _place(column: str, label: Any, known: list[Any]) -> int:
    if label not in known:
        alike = [each for each in known if str(each) == str(label)]
        kind = f" (labels are of type {type(alike[0]).__name__})" if alike else ""
        hint = "" if alike else did_you_mean(str(label), map(str, known))
        raise ModelError(
            f"no customer has the {column} {label!r}; there are {listing(known)}{kind}.{hint}"
        )
    return known.index(label)


def _bound(name: str, bound: Bound) -> tuple[float, float]:
    if isinstance(bound, tuple) and len(bound) != 2:
        raise ModelError(f"the bound of {name} is {bound}; expected a cap, or (floor, cap)")
    floor, cap = bound if isinstance(bound, tuple) else (None, bound)
    low = -np.inf if floor is None else _part(name, "floor", floor)
    high = np.inf if cap is None else _part(name, "cap", cap)
    if low > high:
        raise ModelError(f"the floor of {name} is {low:.2%}, above its cap of {high:.2%}")
    return low, high


def _part(name: str, what: str, given: float) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, np.integer, np.floating)):
        raise TypeError(f"the {what} of {name} is {given!r}; expected a number, as 0.25")
    value = float(given)
    if not 0 <= value <= 1:
        raise ModelError(
            f"the {what} of {name} is {value}; expected a part of the budget between 0 and 1"
        )
    return value


def _check_reach(
    program: CreditProgram, name: str, group: NDArray[np.intp], low: float, high: float
) -> None:
    """Say with numbers where the members' own bounds alone rule out those of their group."""
    least, most = float(program.lower[group].sum()), float(program.upper[group].sum())
    slack = group.size * _ULP
    if least > high + slack * abs(least):
        raise InfeasibleError(
            f"the floors of the {group.size:,} customers with {name} add up to {least:.4%} of the "
            f"budget, {least - high:.4%} above its cap of {high:.4%}; lower floors or raise the "
            "cap",
            conflict=(name, "floors"),
        )
    if most < low - slack * abs(low):
        raise InfeasibleError(
            f"the {group.size:,} customers with {name} may owe {most:.4%} of the budget together, "
            f"{low - most:.4%} below its floor of {low:.4%}; raise limits or lower the floor",
            conflict=(name, "limits"),
        )
