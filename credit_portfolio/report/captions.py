"""What stands below each picture: what it shows, with its figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.report.price_words import priced_conditions
from credit_portfolio.report.words import (
    BORROWED,
    VISIBLE_EXCESS,
    are,
    bucket_label,
    counts_of,
    has_bands,
    has_current,
    has_targets,
    money,
    over_limit,
    percent,
    plain_label,
    plural,
    profiles_shown,
    rows_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from credit_portfolio.allocation import Allocation

    Matrix = NDArray[np.float64]

# Shares of whole periods, written and read again, differ by the rounding of the last digit.
_ROUNDED = 1e-9

MIXTURE = (
    "B is a mixture: the chance that a unit of credit picked at random lands in an interval.",
    "It is not the distribution of the portfolio's own return, which the orange bars show: the "
    "part of the periods in which the return of the whole portfolio fell there.",
)
"""What is said of B and the portfolio where an allocation has no sentences of its own."""


def evaluation_words(a: Allocation) -> str:
    """Say what the picture of B shows; the last two sentences tell B from the portfolio."""
    e = a.evaluation
    bad = e["kind"] == "bad"
    proposed = float(e.loc[bad, "proposed"].sum())
    now = float(e.loc[bad, "current"].sum()) if e["current"].notna().all() else float("nan")
    text = f"Of the proposed credit, {percent(proposed)} falls in bad intervals"
    text += f", of today's {percent(now)}." if math.isfinite(now) else "."
    if has_targets(a):
        text += " The red lines are the targets: bad intervals stay below, good ones above."
    if has_bands(a):
        text += (
            " The thin dark lines are the band in which B lies with 95% chance, given how few "
            "periods each customer was seen in."
        )
    return " ".join([text, *mixture_sentences(a)])


def mixture_sentences(a: Allocation) -> tuple[str, ...]:
    """Return what tells B from the portfolio's own distribution, in two sentences."""
    said = a.summary.get("mixture_and_portfolio")
    if not said:
        return MIXTURE
    return (said,) if isinstance(said, str) else tuple(str(part) for part in said)


def profiles_words(a: Allocation, most: int) -> str:
    """Say what the picture of P shows, and of how many customers."""
    shown = profiles_shown(a, most)
    counts = counts_of(shown, a.evaluation.index).to_numpy(dtype=float)
    whole = bool((counts == counts.round()).all())
    text = (
        "Each row is a customer. The number in a cell counts the periods in which the return fell "
        "in the interval"
        if whole
        else "Each row is a customer. The number in a cell adds up the degrees to which the "
        "periods' returns lie in the interval"
    )
    text += "; the colour is the frequency p that the evaluation uses"
    if _is_smoothed(shown, counts, a.evaluation.index):
        text += ", drawn towards that of the customer's class where few periods are known"
    text += "."
    total = len(a.profiles)
    if total > len(shown):
        text += f" Of {total:,} customers with a row, the {len(shown):,} largest amounts are shown."
    else:
        text += f" All {plural(total, 'customer')} with a row, the largest amounts first."
    borrowed = int(shown["borrowed"].sum())
    if borrowed:
        text += (
            f" {BORROWED} marks {plural(borrowed, 'customer')} with too few periods of "
            f"{'his' if borrowed == 1 else 'their'} own: the row of the class stands in."
        )
    return text


def _is_smoothed(shown: pd.DataFrame, counts: Matrix, names: pd.Index[Any]) -> bool:
    """Whether p is anything but the plain part of the periods, where there are any of his own."""
    own = ~shown["borrowed"].to_numpy(dtype=bool)
    plain = counts[own] / counts[own].sum(axis=1, keepdims=True)
    p = shown[list(names)].to_numpy(dtype=float)[own]
    return not np.allclose(p, plain, rtol=0.0, atol=_ROUNDED)


def prices_words(a: Allocation, most: int) -> str:
    """Say what the picture of the prices shows, and how many conditions cost nothing."""
    priced = priced_conditions(a)
    first = next(rows_of(priced))
    text = (
        "How the standard deviation of the return, in money on the budget, moves with a step of "
        f"each condition, up and down: the dearest is {plain_label(first.Index)}."
    )
    if len(priced) > most:
        text += f" The {most} dearest of {len(priced):,} conditions with a price are shown."
    free = int((a.shadow_prices["kind"] != "limit").sum()) - int((priced["kind"] != "limit").sum())
    free -= int((a.shadow_prices["kind"] == "group amount").sum())
    if free > 0:
        text += f" {plural(free, 'other condition')} {'costs' if free == 1 else 'cost'} nothing."
    if priced[["more", "less"]].isna().any(axis=None):
        text += " A cross: after that step nothing meets all conditions."
    return text


def shares_words(a: Allocation, most: int) -> str:
    """Say what the picture of the shares shows."""
    c = a.customers
    top = float(c["share"].nlargest(most).sum())
    count = min(most, int((c["share"] > 0).sum()))
    text = f"The {plural(count, 'largest share', 'largest shares')} add up to {percent(top)}."
    if count == 1:
        text = f"The largest share is {percent(top)}."
    if not has_current(a):
        return f"{text} There is no current book to compare with."
    up, down = c["change"].idxmax(), c["change"].idxmin()
    if c["change"].max() > 0:
        text += f" The largest increase is {money(c['change'].max(), a)} for {plain_label(up)}"
        text += "; " if c["change"].min() < 0 else "."
    if c["change"].min() < 0:
        text += "the largest cut " if c["change"].max() > 0 else " The largest cut is "
        text += f"{money(-c['change'].min(), a)} for {plain_label(down)}."
    return text


def risk_words(a: Allocation) -> str:
    """Say what the picture of risk against credit shows."""
    c = a.customers
    above = c["risk_share"] - c["share"] >= VISIBLE_EXCESS
    first = int((c["risk_share"] - c["share"]).argmax())
    text = "Customers above the line bring more of the risk than of the credit"
    if not above.any():
        return f"{text}; there are none."
    return (
        f"{text}: {plural(int(above.sum()), 'customer')}, most of all "
        f"{plain_label(c.index[first])} with {percent(c['risk_share'].iloc[first])} of the risk on "
        f"{percent(c['share'].iloc[first])} "
        "of the credit."
    )


def limits_words(a: Allocation) -> str:
    """Say what the picture of limit use shows."""
    c = a.customers
    limited = c["limit"].notna()
    total = float(c.loc[limited, "limit"].sum())
    used = float(c.loc[limited, "amount"].sum())
    text = f"Of {money(total, a)} of limits, {percent(used / total if total else 0)} is used."
    over = int(over_limit(a).sum())
    if over:
        none = int((over_limit(a) & (c["limit"] == 0)).sum())
        text += f" {plural(over, 'balance')} of today {are(over)} above the limit"
        text += f", {none:,} of them with no limit at all; " if none else "; "
        text += "the furthest above come first, marked in orange, then the largest limits."
    else:
        text += " No balance of today is above its limit; the largest limits are shown."
    return text


def ageing_words(ageing: pd.DataFrame, a: Allocation) -> str:
    """Say what the picture of the ageing shows."""
    total = float(ageing["total"].sum())
    sums = ageing.drop(columns="total").sum()
    if total <= 0:
        return "Nothing is open."
    oldest = str(sums.index[-1])
    first = str(sums.index[0])
    return (
        f"{money(total, a)} is open: {percent(sums.iloc[0] / total)} {bucket_label(first)}, "
        f"{percent(sums.iloc[-1] / total)} {bucket_label(oldest)}."
    )
