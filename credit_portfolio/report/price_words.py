"""What a step of each condition is worth, in words, and which conditions have a price at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from credit_portfolio.prices import MONEY_STEP, POINT
from credit_portfolio.report.words import figures, money, number, percent, plain_label

if TYPE_CHECKING:
    from credit_portfolio.allocation import Allocation

# Room to a target below this shows as 0.00 percentage points.
_VISIBLE_ROOM = 0.00005
# Kinds whose bound is a part of the credit, or a return: told in percent, moved by a point.
IN_PERCENT = ("target", "group", "return")
_IN_MONEY = ("budget", "limit", "group amount")

RETURN_PART = 0.1
"""Part of a point by which a least return is moved: a whole one is far beyond where it holds."""
_SHORT = 20
MOST_CONDITIONS = 20
"""Conditions of the picture; the table says the rest."""


def dearest_limits(a: Allocation) -> pd.DataFrame:
    """Limits with a price, the one worth most first: by what can be had of it.

    A price below what the certificate vouches for is the rounding of a multiplier that is 0.
    """
    prices = a.shadow_prices
    limits = prices[prices["kind"] == "limit"]
    # The price of a limit is 0 or less: the smallest is worth most.
    limits = limits[limits["standard_deviation"] < -_least(a)]
    # A small limit with a steep price is worth little.
    worth = limits["standard_deviation"] * limits["bound"].map(limit_step)
    return limits.loc[worth.sort_values(kind="stable").index]


def priced_conditions(a: Allocation) -> pd.DataFrame:
    """Conditions of which a step changes the risk, the dearest first.

    Returns
    -------
    pandas.DataFrame
        ``shadow_prices`` with ``more`` and ``less``: the change of the standard deviation in money
        for the step that is told, up and down; NaN where it cannot be met. A group that is priced
        by share and by amount is there once, by share.
    """
    prices = a.shadow_prices
    general = prices[~prices["kind"].isin(["limit", "group amount"])]
    table = pd.concat([general, dearest_limits(a)])
    if "standard_deviation_less" not in table.columns:  # allocations of older versions
        table = table.assign(standard_deviation_less=-table["standard_deviation"])
    kind = table["kind"]
    part = (table["bound"].map(limit_step) / MONEY_STEP).where(kind == "limit", 1.0)
    part = part.where(kind != "return", RETURN_PART)
    table = table.assign(
        more=table["standard_deviation"] * part, less=table["standard_deviation_less"] * part
    )
    # Where neither side has a figure nothing was priced; a finding says why.
    table = table[~table[["more", "less"]].isna().all(axis=1)]
    sides = table[["more", "less"]]
    size = sides.abs().max(axis=1).fillna(0.0)
    table = table[(size > _least(a)) | sides.isna().any(axis=1)]
    return table.loc[size[table.index].sort_values(ascending=False, kind="stable").index]


def _least(a: Allocation) -> float:
    return float(a.certificate.tolerance * a.summary["standard_deviation_money"])


def bound_words(kind: str, value: float, a: Allocation) -> str:
    """Return a bound, or what is reached of it, in the unit of its condition."""
    if kind in IN_PERCENT:
        return percent(value, 2)
    return money(value, a) if kind in _IN_MONEY else figures(value)


def short_condition(row: Any) -> str:
    """Return a condition's name, short enough to stand beside a picture."""
    name = str(row.Index)
    if row.kind == "target":
        return plain_label(name.removeprefix("target "), _SHORT)
    return plain_label(name, _SHORT)


def step_words(row: Any, a: Allocation) -> str:
    """Return the bound of a condition and the step that it is moved by, for beside a picture."""
    if row.kind == "return":
        return f"{percent(row.bound)} ± {RETURN_PART} point"
    if row.kind in IN_PERCENT:
        return f"{percent(row.bound)} ± 1 point"
    if row.kind not in _IN_MONEY:
        return f"{figures(row.bound)} ± {POINT}"
    step = limit_step(float(row.bound)) if row.kind == "limit" else MONEY_STEP
    return f"± {number(step)} {a.summary.get('currency') or ''}".rstrip()


def price_sentence(row: Any, kind_of: dict[str, str], a: Allocation) -> str:
    """Say what one step of a condition is worth.

    Parameters
    ----------
    row : named tuple
        Of ``shadow_prices``, with the condition as ``Index``.
    kind_of : dict
        Interval name to "bad" or "good".
    a : Allocation
    """
    change = float(row.standard_deviation)
    if math.isnan(change) and math.isnan(float(getattr(row, "standard_deviation_less", -change))):
        return "No price is told; the findings say why."
    if row.kind == "target":
        good = kind_of.get(str(row.Index).removeprefix("target ")) != "bad"
        return _target_price(row, good, a)
    currency = str(a.summary.get("currency") or "")
    if row.kind == "limit":
        step = limit_step(float(row.bound))
        name = plain_label(str(row.Index).removeprefix("limit "))
        effect = _effect(change * step / MONEY_STEP, a)
        said = f"{number(step)} {currency}".rstrip() + f" more of limit for {name} would {effect}"
        # Where several limits depend on each other, this is one of the prices that explain them.
        return (
            f"{said} (one of several prices)."
            if "several" in str(getattr(row, "step", ""))
            else f"{said}."
        )
    if row.kind != "budget":
        return _row_price(row, a)
    unit = f"{number(MONEY_STEP)} {currency}".rstrip()
    if math.isnan(change):
        return f"{unit} more of budget cannot be given at the same limits and targets."
    return f"{unit} more of budget, at the same limits, would {_effect(change, a)}."


def limit_step(limit: float) -> float:
    """Return by how much more of a limit its price is told: no more than the limit itself.

    A price is a slope. Ten thousand more of a limit of a few hundred is far beyond where it holds.
    """
    return min(MONEY_STEP, limit)


def _target_price(row: Any, good: bool, a: Allocation) -> str:
    more = float(row.standard_deviation)
    less = float(getattr(row, "standard_deviation_less", -more))
    stricter, words = (more, "more") if good else (less, "less")
    asked = "Asking for" if good else "Allowing"
    if row.binding:
        # Where no more can be asked for, what a step less would save is still known.
        if math.isnan(more):
            return f"{asked} one percentage point less would {_effect(less, a)}."
        return f"{asked} one percentage point more would {_effect(more, a)}."
    room = abs(float(row.bound) - float(row.reached))
    if room >= POINT:
        return "Not binding: one percentage point more or less changes nothing."
    if room >= _VISIBLE_ROOM:
        return f"Not binding; it would bind after {number(100 * room, 2)} percentage points."
    if math.isnan(stricter):
        return f"Just met; {asked.lower()} one percentage point {words} cannot be met."
    return f"Just met; {asked.lower()} one percentage point {words} would {_effect(stricter, a)}."


def _row_price(row: Any, a: Allocation) -> str:
    """Both sides of a group's bound, of the least return, or of a row of the analyst's own."""
    more = float(row.standard_deviation)
    less = float(getattr(row, "standard_deviation_less", -more))
    name = plain_label(str(row.Index).removesuffix(" (amount)"))
    step = "one percentage point"
    if row.kind == "return":
        step, more, less = "a tenth of a percentage point", RETURN_PART * more, RETURN_PART * less
    elif row.kind == "group amount":
        step = f"{number(MONEY_STEP)} {a.summary.get('currency') or ''}".rstrip()
    elif row.kind not in IN_PERCENT:
        step = f"{POINT}"
    if more == 0 and less == 0:
        return f"Not binding: {step} more or less changes nothing."
    first, second = (
        "cannot be met" if math.isnan(side) else f"would {_effect(side, a)}"
        for side in (more, less)
    )
    return f"Moving the bound of {name} by {step}: up {first}; down {second}."


def _effect(change: float, a: Allocation) -> str:
    if change == 0:
        return "change nothing"
    way = "lower" if change < 0 else "raise"
    currency = str(a.summary.get("currency") or "")
    return f"{way} the standard deviation by {figures(abs(change))} {currency}".rstrip()
