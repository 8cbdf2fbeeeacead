"""The class as the unit of optimisation: credit for classes first, then for the customers in them.

The program of some dozen classes is solved in place of that of all customers, and each class's
credit is shared by limit. The answer is optimal for the classes, not for the customers in them:
whoever is better than his class gets no more for it. The paper's customers are of one size, and so
are classes here only as far as their returns are weighted by cost and their credit by limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, listing
from credit_portfolio.evaluation.classes import class_panel, classes_by_label, share_by_limit
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.rounding import round_to_unit

if TYPE_CHECKING:
    from credit_portfolio.allocation import Allocation
    from credit_portfolio.evaluation.classes import CustomerClasses
    from credit_portfolio.portfolio import CreditPortfolio


@dataclass(frozen=True, eq=False, slots=True)
class ClassAllocation:
    """Credit of classes, and of the customers in them.

    Attributes
    ----------
    classes : Allocation
        Of the classes, as if each were a customer.
    amounts : pandas.Series
        Money per customer, index ``customer_id``; each class adds up to its amount.
    labels : pandas.Series
        Class of each customer.
    """

    classes: Allocation
    amounts: pd.Series[float]
    labels: pd.Series[Any]


def allocate_by_class(
    model: CreditPortfolio,
    panel: ReturnPanel,
    labels: pd.Series[Any] | Mapping[str, object],
    *,
    limits: pd.DataFrame | pd.Series[float],
    current: pd.Series[float] | Mapping[str, float] | None = None,
) -> ClassAllocation:
    """Fit the model to classes, and share each class's credit among its customers by limit.

    Parameters
    ----------
    model : CreditPortfolio
        Its parameters; it is not fitted itself.
    panel : ReturnPanel
        Of the customers.
    labels : Series or mapping
        Class of each customer, by id; one without is in the class "(none)".
    limits : Series, or DataFrame with a column ``limit``
        Most money per customer; without one a customer gets nothing.
    current : Series or mapping, optional
        Today's exposure per customer.

    Raises
    ------
    DataError
        For infinite, missing or negative limits.
    ModelError
        For parameters of the model that are about customers: classes, groups, newcomers,
        max_share, min_line.
    InfeasibleError
        As ``CreditPortfolio.fit``.

    Examples
    --------
    >>> from credit_portfolio import CreditPortfolio, ReturnPanel
    >>> history = {"A": [0.25, 0.2, 0.25], "B": [0.1, 0.25, 0.2], "C": [0.2, 0.1, 0.0]}
    >>> panel = ReturnPanel.from_frame(pd.DataFrame(history))
    >>> model = CreditPortfolio([-1, 0.15, 0.25], good_from=1, targets={}, budget=900)
    >>> found = allocate_by_class(model, panel, {"A": "food", "B": "food", "C": "steel"},
    ...                           limits=pd.Series({"A": 600.0, "B": 300.0, "C": 900.0}))
    >>> found.amounts.groupby(found.labels).sum().equals(found.classes.amounts.astype(float))
    True
    """
    wrong = [name for name in ("classes", "groups") if getattr(model, name) is not None]
    wrong += ["newcomers"] if model.newcomers != "exclude" else []
    wrong += ["max_share"] if model.max_share < 1 else []
    wrong += ["min_line"] if model.min_line is not None else []
    if wrong:
        raise ModelError(
            f"{', '.join(wrong)} of the model {'is' if len(wrong) == 1 else 'are'} about single "
            "customers; leave it out where classes are the unit"
        )
    if not isinstance(panel, ReturnPanel):
        raise TypeError(f"panel is a {type(panel).__name__}; expected a ReturnPanel")
    if not isinstance(labels, (pd.Series, Mapping)):
        raise TypeError(
            f"labels is a {type(labels).__name__}; expected a Series or a mapping with the class "
            "of each customer_id, as table['industry']"
        )
    if isinstance(limits, pd.DataFrame) and "limit" not in limits.columns:
        raise DataError(
            f"limits has columns {listing(limits.columns)}; expected one named 'limit', as "
            "working_asset_limits returns it"
        )
    money = limits["limit"] if isinstance(limits, pd.DataFrame) else pd.Series(limits)
    most = _money("limits", money, panel)
    given = _text_index(pd.Series(labels))
    if not given.index.isin(panel.customers).any():
        raise DataError(
            f"no customer has both a class and a sale: labels name {listing(given.index, 3)}, the "
            f"panel {listing(panel.customers, 3)}; check the ids (text, leading zeros)"
        )
    classes = classes_by_label(given, panel.customers, origin="labels")
    added = class_panel(panel.values, panel.costs, classes)
    names = pd.Index(added.names, name="customer_id", dtype="str")
    whole = replace(
        panel, values=added.values, costs=added.costs, customers=names, history=None, picked=False
    )
    fitted = type(model)(**model.get_params(deep=False))
    fitted.fit(
        whole,
        limits=_by_class(most, classes),
        current=None if current is None else _by_class(_money("current", current, panel), classes),
    )
    shared = _shared(fitted, most, classes)
    codes = np.array(added.names, dtype=object)[classes.codes]
    return ClassAllocation(
        fitted.allocation_,
        pd.Series(shared, index=panel.customers, name="amount"),
        pd.Series(codes, index=panel.customers, name="class", dtype="str"),
    )


def _shared(
    fitted: CreditPortfolio, most: np.ndarray[Any, Any], classes: CustomerClasses
) -> np.ndarray[Any, Any]:
    """Share each class's amount, in multiples of the unit where the limits leave room."""
    amounts = fitted.allocation_.amounts.reindex(list(classes.names)).fillna(0.0).to_numpy()
    shared = share_by_limit(amounts, most, classes)
    for c in range(classes.n_classes):
        inside = classes.codes == c
        if inside.any() and amounts[c] > 0:
            none = np.zeros(int(inside.sum()))
            shared[inside] = round_to_unit(shared[inside], none, most[inside], fitted.unit)
    return shared


def _by_class(money: np.ndarray[Any, Any], classes: CustomerClasses) -> pd.Series[float]:
    added = np.bincount(classes.codes, money, minlength=classes.n_classes)
    return pd.Series(added, index=pd.Index(classes.names, dtype="str"))


def _text_index(table: pd.Series[Any]) -> pd.Series[Any]:
    return table.set_axis(pd.Index([str(name) for name in table.index], dtype="str"))


def _money(name: str, given: object, panel: ReturnPanel) -> np.ndarray[Any, Any]:
    """Return money in the panel's order; who is not named has none."""
    table = _text_index(pd.Series(given, dtype=np.float64))
    if table.index.has_duplicates or not (np.isfinite(table) & (table >= 0)).all():
        raise DataError(
            f"{name} must be finite money of 0 or more, once for each customer; mend or leave out "
            "the others"
        )
    strangers = table.index.difference(panel.customers)
    if len(strangers) and table[strangers].sum() > 0 and name == "current":
        raise DataError(
            f"current has {len(strangers):,} customers who are not in the panel, so that their "
            "class is not known by their returns: leave them out"
        )
    ordered: np.ndarray[Any, Any] = table.reindex(panel.customers).fillna(0.0).to_numpy()
    return ordered
