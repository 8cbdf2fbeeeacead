"""The working-asset model: a customer's maximum credit from one balance sheet.

::

    working capital   WC = current assets − current liabilities
    working assets    WA = (WC + net worth) / 2
    evaluation value  E  = A + B − C − D
        A = current assets / current liabilities      C = current liabilities / net worth
        B = quick assets / current liabilities        D = total liabilities / net worth
        quick assets = current assets − inventory
    limit = WA × percentage(E), rounded down to the cent

The percentages stand in a table that is data: :data:`WORKING_ASSET_TABLE`. It is printed with
two decimals and gaps between its rows (… −0.4, then −0.39 …); here every E has exactly one class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import inf, isfinite, isinf
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit_portfolio.errors import DataError, ModelError, listing
from credit_portfolio.limits.cells import LARGEST_AMOUNT
from credit_portfolio.limits.statements import (
    AMOUNTS,
    REQUIRED_AMOUNTS,
    DateLike,
    Statements,
    check_statements,
    latest_statements,
    to_day,
)

Rounding: TypeAlias = Literal["continuous", "two_decimals"]
_Floats: TypeAlias = NDArray[np.float64]
_Flags: TypeAlias = NDArray[np.bool_]

# E on a bound, such as 0.3, comes out of floating point as 0.30000000000000004. Its rounding error
# is a few machine epsilons (2e-16) of its largest ratio: below 1e-9 up to ratios of a million, and
# the table itself is stated to 1e-2.
BOUND_TOLERANCE = 1e-9

# Printed statements are rounded to thousands or millions, so a total and its parts differ in the
# last digit: a thousandth covers three-digit figures rounded upward of 1,500, and is too small to
# hide a line in the wrong column. Relative, so that the unit of money does not matter.
CONSISTENCY_TOLERANCE = 1e-3

# A limit of 17.50 may come out of floating point as 17.499999999999996, and must not be rounded
# down to 17.49. Reading, adding, weighing and dividing cost half a unit in the last place each of
# the largest amount: fewer than eight halves in all.
_ROUNDING_ERROR = 4 * float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False, slots=True)
class WorkingAssetTable:
    """Classes of the evaluation value E, from the worst to the best.

    Parameters
    ----------
    upper_bounds : tuple of float
        Upper end of each class, strictly increasing; the last is ``inf``. A class begins where the
        one before it ends, so there are no gaps.
    percentages : tuple of float
        Share of the working assets that is the limit, as a fraction: 0.25 for 25 %.
    labels : tuple of str
        Name of each class's risk; a label may be repeated.
    source : str
        Where the numbers come from; reports print it.
    bound_belongs_above : tuple of float
        Upper bounds that belong to the class above them; all others belong to the class below.

    Raises
    ------
    ModelError
        When lengths differ, bounds do not increase, or a percentage is outside [0, 1].

    Examples
    --------
    >>> table = WorkingAssetTable((0.0, inf), (0.0, 0.2), ("no", "yes"), "our credit manual")
    >>> [table.labels[k] for k in table.classify([0.0, 0.1])]
    ['no', 'yes']
    """

    upper_bounds: tuple[float, ...]
    percentages: tuple[float, ...]
    labels: tuple[str, ...]
    source: str
    bound_belongs_above: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a table that leaves a value without a class, or with two."""
        bounds = self.upper_bounds
        if not len(bounds) == len(self.percentages) == len(self.labels) or not bounds:
            raise ModelError(
                f"the table has {len(bounds)} upper bounds, {len(self.percentages)} percentages "
                f"and {len(self.labels)} labels — expected as many of each, at least one"
            )
        if not isinf(bounds[-1]) or bounds[-1] < 0 or not all(isfinite(b) for b in bounds[:-1]):
            raise ModelError(f"the upper bounds {bounds} must be finite, and the last one inf")
        for low, high in pairwise(bounds):
            if not high - low > 2 * BOUND_TOLERANCE:
                raise ModelError(f"the upper bounds must increase — found {low} before {high}")
        wrong = [p for p in self.percentages if not 0 <= p <= 1]
        if wrong:
            raise ModelError(
                f"percentages are fractions of the working assets in [0, 1] — found "
                f"{listing(wrong)}; write 0.25 for 25 %"
            )
        stray = [b for b in self.bound_belongs_above if b not in bounds[:-1]]
        if stray:
            raise ModelError(f"bound_belongs_above names {listing(stray)}, which are no bounds")

    def classify(self, values: object, *, rounding: Rounding = "continuous") -> NDArray[np.intp]:
        """Find the class of each evaluation value, counted from 0, the worst.

        Parameters
        ----------
        values : array_like of float
            Evaluation values; ``inf`` is in the top class.
        rounding : {"continuous", "two_decimals"}
            Compare E as it is, or first rounded half away from zero to the two decimals in which
            the table is printed.

        Raises
        ------
        ModelError
            For another ``rounding``, or a value that is not a number.

        Examples
        --------
        >>> WORKING_ASSET_TABLE.classify([0.304, 0.95]).tolist()
        [8, 8]
        >>> WORKING_ASSET_TABLE.classify([0.304, 0.95], rounding="two_decimals").tolist()
        [7, 8]
        """
        if rounding not in ("continuous", "two_decimals"):
            raise ModelError(
                f"rounding={rounding!r} is unknown — expected 'continuous' or 'two_decimals'"
            )
        E = np.asarray(values, dtype=float)
        if np.isnan(E).any():
            raise ModelError("an evaluation value that is not a number has no class")
        if rounding == "two_decimals":
            E = np.sign(E) * np.floor(np.abs(E) * 100 + 0.5 + BOUND_TOLERANCE) / 100
        ends = np.array(self.upper_bounds[:-1], dtype=float)
        above = np.isin(ends, self.bound_belongs_above)
        return np.searchsorted(np.where(above, ends - BOUND_TOLERANCE, ends + BOUND_TOLERANCE), E)


_BOUNDS = (-4.6, -3.9, -3.2, -2.5, -1.8, -1.1, -0.4, 0.3, 1.0, inf)
_PERCENTAGES = (0.0, 0.025, 0.05, 0.075, 0.10, 0.125, 0.15, 0.175, 0.20, 0.25)

#: The table of the Chinese encyclopaedia entry on the model; the default.
WORKING_ASSET_TABLE = WorkingAssetTable(
    upper_bounds=_BOUNDS,
    percentages=_PERCENTAGES,
    labels=(*("high",) * 3, *("fairly high",) * 3, *("limited",) * 3, "low"),
    source="營運資產分析模型, newton.com.tw/wiki",
)

#: The table of a credit-management system: other labels, and E = 1.0 is in the top class.
#: The system leaves 0.9 < E < 1.0 without a class; here that is the 20 % class.
WORKING_ASSET_TABLE_OF_SYSTEM = WorkingAssetTable(
    upper_bounds=_BOUNDS,
    percentages=_PERCENTAGES,
    labels=(*("high",) * 5, *("limited",) * 4, "low"),
    source="front end of a credit-management system, its gaps closed",
    bound_belongs_above=(1.0,),
)


class LimitReason(StrEnum):
    """Why a limit is what it is. Where several apply, the one that stands first here counts."""

    STATEMENT_AFTER_AS_OF = "statement_after_as_of"
    UNREADABLE_STATEMENT = "unreadable_statement"
    CONFLICTING_STATEMENTS = "conflicting_statements"
    STATEMENT_TOO_OLD = "statement_too_old"
    MISSING_AMOUNT = "missing_amount"
    INCONSISTENT_STATEMENT = "inconsistent_statement"
    NET_WORTH_NOT_POSITIVE = "net_worth_not_positive"
    NOTHING_TO_RATE = "nothing_to_rate"
    WORKING_ASSETS_NOT_POSITIVE = "working_assets_not_positive"
    NO_CURRENT_LIABILITIES = "no_current_liabilities"
    RATED = "rated"


#: One sentence for each reason; the fields are columns of the result, and what ``details`` found.
EXPLANATIONS: Mapping[LimitReason, str] = MappingProxyType(
    {
        LimitReason.STATEMENT_AFTER_AS_OF: (
            "No limit: the first statement is of {statement_date:%Y-%m-%d}, after "
            "{as_of:%Y-%m-%d}, so it was not known then."
        ),
        LimitReason.UNREADABLE_STATEMENT: "No limit: the statement cannot be read: {details}.",
        LimitReason.CONFLICTING_STATEMENTS: (
            "No limit: the statements of {statement_date:%Y-%m-%d} contradict each other: "
            "{details}."
        ),
        LimitReason.STATEMENT_TOO_OLD: (
            "No limit: the latest statement is of {statement_date:%Y-%m-%d}, {age_days:,} days "
            "before {as_of:%Y-%m-%d}; at most {max_age_days:,} are allowed."
        ),
        LimitReason.MISSING_AMOUNT: (
            "Not ratable: the statement of {statement_date:%Y-%m-%d} does not give {details}."
        ),
        LimitReason.INCONSISTENT_STATEMENT: (
            "Not ratable: the statement of {statement_date:%Y-%m-%d} contradicts itself: {details}."
        ),
        LimitReason.NET_WORTH_NOT_POSITIVE: (
            "Not ratable: net worth {net_worth:,.2f} is not positive, so debt has no cover."
        ),
        LimitReason.NOTHING_TO_RATE: (
            "Not ratable: there are neither current assets nor current liabilities."
        ),
        LimitReason.WORKING_ASSETS_NOT_POSITIVE: (
            "Limit 0: evaluation value {evaluation_value:.2f} (class {class}), but working assets "
            "({working_capital:,.2f} working capital + {net_worth:,.2f} net worth) / 2 = "
            "{working_assets:,.2f} are not positive."
        ),
        LimitReason.NO_CURRENT_LIABILITIES: (
            "No current liabilities, so the top class {class}: {percentage:.1%} of working assets "
            "{working_assets:,.2f} is {limit:,.2f}; check that the statement is complete."
        ),
        LimitReason.RATED: (
            "Evaluation value {evaluation_value:.2f} is in class {class}: {percentage:.1%} of "
            "working assets {working_assets:,.2f} is {limit:,.2f}."
        ),
    }
)

_RATIOS = (
    "current_ratio",
    "quick_ratio",
    "current_liabilities_to_net_worth",
    "total_liabilities_to_net_worth",
)
LIMIT_COLUMNS = (
    "limit",
    "class",
    "evaluation_value",
    "percentage",
    "working_capital",
    "net_worth",
    "working_assets",
    *_RATIOS,
    "statement_date",
    "currency",
    "reason",
    "explanation",
)


def working_asset_limits(
    statements: pd.DataFrame | Statements,
    table: WorkingAssetTable = WORKING_ASSET_TABLE,
    *,
    rounding: Rounding = "continuous",
    tangible: bool = False,
    as_of: DateLike | None = None,
    max_age_days: int | None = None,
    consistency_tolerance: float = CONSISTENCY_TOLERANCE,
    unit: float | None = 0.01,
) -> pd.DataFrame:
    """Set each customer's credit limit by the working-asset model.

    Each customer's latest statement counts, on or before ``as_of`` where that is given. A customer
    whose statement cannot be read or rated gets the limit 0 and the reason; the others are
    unaffected. A row that cannot be read and is older than one that can is no hindrance.

    Parameters
    ----------
    statements : pandas.DataFrame or Statements
        What :func:`read_statements` returns, or a table with one row a statement:
        ``customer_id``, ``statement_date``, ``current_assets``, ``inventory``,
        ``current_liabilities``, ``total_liabilities`` and ``net_worth`` (or ``total_assets``), in
        one unit of money; see :mod:`credit_portfolio.limits.statements`.
    table : WorkingAssetTable
        Classes of the evaluation value and their percentages.
    rounding : {"continuous", "two_decimals"}
        How the evaluation value is compared with the table; see :meth:`WorkingAssetTable.classify`.
    tangible : bool
        Take the column ``intangible_assets`` off the net worth first.
    as_of : date, optional
        Statements dated later are not used.
    max_age_days : int, optional
        With ``as_of``: a statement older than this gives no limit.
    consistency_tolerance : float
        By how much, as a fraction of the larger, two amounts may miss each other.
    unit : float, optional
        Limits are rounded down to whole multiples of it: to the cent, unless said otherwise. Of
        statements in millions a cent is 10,000: pass 1e-8 there, or None for limits as computed.

    Returns
    -------
    pandas.DataFrame
        One row a customer, index ``customer_id`` (text, sorted). ``limit`` is money in the unit of
        the statements, rounded down to ``unit`` and never negative. ``class`` and ``percentage``
        (a fraction) follow E also where working assets are not positive; they are missing where
        the statement is not ratable. ``evaluation_value`` and two ratios are infinite without
        current liabilities. ``reason`` is a :class:`LimitReason`, ``explanation`` a sentence with
        the numbers; ``currency`` is missing where the statements name none.

    Raises
    ------
    DataError
        When the table of statements cannot be read as one; see
        :func:`~credit_portfolio.limits.statements.check_statements`.
    ModelError
        When an argument is out of its range.

    Warns
    -----
    UserWarning
        When rows of a DataFrame have no customer id: they count for nobody.

    Examples
    --------
    >>> statements = pd.DataFrame(
    ...     [["007", "2023-12-31", 2400, 800, 1200, 1800, 1500],
    ...      ["008", "2023-12-31", 500, 100, 900, 1500, -200]],
    ...     columns=["customer_id", "statement_date", "current_assets", "inventory",
    ...              "current_liabilities", "total_liabilities", "net_worth"])
    >>> limits = working_asset_limits(statements)
    >>> limits["limit"].to_dict(), limits.loc["008", "reason"]
    ({'007': 337.5, '008': 0.0}, 'net_worth_not_positive')
    >>> limits.loc["007", "explanation"]
    'Evaluation value 1.33 is in class low: 25.0% of working assets 1,350.00 is 337.50.'
    """
    if max_age_days is not None and (as_of is None or max_age_days < 0):
        raise ModelError("max_age_days counts back from as_of — give as_of, and 0 days or more")
    if not 0 <= consistency_tolerance < 1:
        raise ModelError(f"consistency_tolerance={consistency_tolerance} — expected one in [0, 1)")
    if unit is not None and not 1 / LARGEST_AMOUNT <= unit <= LARGEST_AMOUNT:
        raise ModelError(f"unit={unit} — expected an amount of money above 0, or None")
    checked = statements if isinstance(statements, Statements) else check_statements(statements)
    if tangible and "intangible_assets" not in checked.accepted:
        raise DataError(
            "the statements lack the column 'intangible_assets' — tangible net worth needs it; add "
            "it or leave tangible=False",
            pd.DataFrame({"column": ["intangible_assets"], "problem": ["missing column"]}),
        )
    day = None if as_of is None else to_day(as_of, "as_of")
    latest = latest_statements(checked, day)
    gaps = _missing_amounts(latest, tangible)
    conflicts = _contradictions(latest, consistency_tolerance)
    sheet = _ratios(latest, tangible)
    age = (day - latest["statement_date"]).dt.days if day is not None else None
    conflicting = (latest["rule"] == "conflicting_copies").to_numpy()
    tests: dict[LimitReason, _Flags] = {
        LimitReason.STATEMENT_AFTER_AS_OF: latest["later"].to_numpy(dtype=bool),
        LimitReason.UNREADABLE_STATEMENT: (latest["rule"] != "").to_numpy() & ~conflicting,
        LimitReason.CONFLICTING_STATEMENTS: conflicting,
        LimitReason.MISSING_AMOUNT: gaps.to_numpy() != "",
        LimitReason.INCONSISTENT_STATEMENT: conflicts.to_numpy() != "",
        **_tests_of_ratios(sheet),
    }
    if age is not None and max_age_days is not None:
        tests[LimitReason.STATEMENT_TOO_OLD] = (age > max_age_days).to_numpy()
    sheet["reason"] = _first_reason(tests, len(latest))
    _rate(sheet, table, rounding)
    if unit is not None:
        sheet["limit"] = _rounded_down(sheet["limit"].to_numpy(), _size(latest), unit)
    details = latest["reason"].where(latest["rule"] != "", gaps.where(gaps != "", conflicts))
    facts = sheet.assign(details=details, as_of=day, max_age_days=max_age_days)
    # A row without a date has no age; it is never told as too old.
    facts["age_days"] = 0 if age is None else age.fillna(0).astype(int)
    return _explained(sheet, facts)


def _amount(latest: pd.DataFrame, name: str) -> _Floats:
    return latest[name].to_numpy(dtype=float)


def _net_worth(latest: pd.DataFrame, tangible: bool) -> _Floats:
    if "net_worth" in latest:
        book = _amount(latest, "net_worth")
    else:
        book = _amount(latest, "total_assets") - _amount(latest, "total_liabilities")
    return book - _amount(latest, "intangible_assets") if tangible else book


def _ratios(latest: pd.DataFrame, tangible: bool) -> pd.DataFrame:
    """Working capital, working assets, the four ratios and E of each row; NaN where undefined."""
    assets, liabilities = _amount(latest, "current_assets"), _amount(latest, "current_liabilities")
    net_worth = _net_worth(latest, tangible)
    sheet = latest[["customer_id", "statement_date"]].copy()
    sheet["currency"] = latest.get("currency")
    sheet["working_capital"] = assets - liabilities
    sheet["net_worth"] = net_worth
    sheet["working_assets"] = (sheet["working_capital"] + net_worth) / 2
    # 0/0 and x/0 are meant: they become NaN and inf, and each has its reason further down.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        A = assets / liabilities
        B = (assets - _amount(latest, "inventory")) / liabilities
        C = liabilities / net_worth
        D = _amount(latest, "total_liabilities") / net_worth
        E = A + B - C - D
    E[(liabilities == 0) & (assets > 0)] = inf
    for name, ratio in zip(_RATIOS, (A, B, C, D), strict=True):
        sheet[name] = ratio
    sheet["evaluation_value"] = E
    return sheet


def _tests_of_ratios(sheet: pd.DataFrame) -> dict[LimitReason, _Flags]:
    E = sheet["evaluation_value"].to_numpy()
    return {
        LimitReason.NET_WORTH_NOT_POSITIVE: sheet["net_worth"].to_numpy() <= 0,
        LimitReason.NOTHING_TO_RATE: np.isnan(E),
        LimitReason.WORKING_ASSETS_NOT_POSITIVE: sheet["working_assets"].to_numpy() <= 0,
        LimitReason.NO_CURRENT_LIABILITIES: np.isposinf(E),
    }


def _missing_amounts(latest: pd.DataFrame, tangible: bool) -> pd.Series[Any]:
    """Name, for each row, the amounts that it does not give; empty text where none is missing."""
    needed = [*REQUIRED_AMOUNTS, "net_worth" if "net_worth" in latest else "total_assets"]
    if tangible:
        needed.append("intangible_assets")
    texts = np.full(len(latest), "", dtype=object)
    for name in needed:
        texts[latest[name].isna().to_numpy()] += f", {name}"
    return pd.Series([text.removeprefix(", ") for text in texts], dtype=object)


_PARTS = (
    ("inventory", "current_assets"),
    ("current_liabilities", "total_liabilities"),
    ("current_assets", "total_assets"),
    ("intangible_assets", "total_assets"),
)


def _contradictions(latest: pd.DataFrame, tolerance: float) -> pd.Series[Any]:
    """Say, for each row, what cannot be true, with the numbers; empty text where all can."""
    texts = np.full(len(latest), "", dtype=object)

    def note(wrong: _Flags, sentence: str, **values: _Floats) -> None:
        for row in np.flatnonzero(wrong):
            texts[row] += "; " + sentence.format(**{k: v[row] for k, v in values.items()})

    given = set(latest.columns)
    pairs = [(part, whole) for part, whole in _PARTS if {part, whole} <= given]
    names = {"intangible_assets"} & given | {name for pair in pairs for name in pair}
    # A comparison with a blank (NaN) is false: what is missing contradicts nothing.
    for name in sorted(names):
        amount = _amount(latest, name)
        note(amount < 0, f"{name} {{x:,.2f}} is negative", x=amount)
    for part, whole in pairs:
        x, y = _amount(latest, part), _amount(latest, whole)
        wrong = x - y > tolerance * np.maximum(np.abs(x), np.abs(y))
        note(wrong, f"{part} {{x:,.2f}} above {whole} {{y:,.2f}}", x=x, y=y)
    if "net_worth" in latest and "total_assets" in latest:
        assets, debt = _amount(latest, "total_assets"), _amount(latest, "total_liabilities")
        equity = _amount(latest, "net_worth")
        size = np.maximum(np.maximum(np.abs(assets), np.abs(debt)), np.abs(equity))
        wrong = np.abs(assets - debt - equity) > tolerance * size
        sentence = "total_assets {x:,.2f} is not total_liabilities {y:,.2f} + net_worth {z:,.2f}"
        note(wrong, sentence, x=assets, y=debt, z=equity)
    return pd.Series([text.removeprefix("; ") for text in texts], dtype=object)


def _first_reason(tests: dict[LimitReason, _Flags], n_customers: int) -> NDArray[np.object_]:
    reasons = np.full(n_customers, str(LimitReason.RATED), dtype=object)
    for reason in reversed(LimitReason):  # the first listed is written last, so it stays
        if reason in tests:
            reasons[tests[reason]] = str(reason)
    return reasons


def _rate(sheet: pd.DataFrame, table: WorkingAssetTable, rounding: Rounding) -> None:
    """Add class, percentage and limit; a row that is not ratable has neither of the first two."""
    ratable = (
        sheet["reason"]
        .isin(
            [
                LimitReason.RATED,
                LimitReason.NO_CURRENT_LIABILITIES,
                LimitReason.WORKING_ASSETS_NOT_POSITIVE,
            ]
        )
        .to_numpy()
    )
    E = sheet["evaluation_value"].to_numpy()
    classes = table.classify(E[ratable], rounding=rounding)
    labels = np.full(len(sheet), None, dtype=object)
    labels[ratable] = np.array(table.labels, dtype=object)[classes]
    percentages = np.full(len(sheet), np.nan)
    percentages[ratable] = np.array(table.percentages, dtype=float)[classes]
    worth = sheet["working_assets"].to_numpy()
    sheet["class"] = pd.Series(labels, dtype=object)
    sheet["percentage"] = percentages
    sheet["limit"] = np.where(ratable & (worth > 0), percentages * worth, 0.0)


def _size(latest: pd.DataFrame) -> _Floats:
    """Return the sum of a statement's amounts without their signs; blank counts 0."""
    names = [name for name in AMOUNTS if name in latest]
    return latest[names].abs().sum(axis=1).to_numpy(dtype=float)


def _rounded_down(limit: _Floats, size: _Floats, unit: float) -> _Floats:
    """Round down to multiples of a unit; one missed by no more than rounding error is kept."""
    multiples = np.floor((limit + _ROUNDING_ERROR * size) / unit)
    per = round(1 / unit)  # 57 / 100 is 0.57, and 57 * 0.01 is 0.5700000000000001
    rounded = multiples / per if per > 0 and 1 / per == unit else multiples * unit
    return np.where(limit > 0, rounded, 0.0)


def _explained(sheet: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    sheet["explanation"] = [
        EXPLANATIONS[LimitReason(row["reason"])].format_map(row)
        for row in facts.to_dict(orient="records")
    ]
    return sheet.set_index("customer_id")[list(LIMIT_COLUMNS)]
