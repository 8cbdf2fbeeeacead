"""Pictures of customers: their shares, their part of the risk, the use of their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import ModelError
from credit_portfolio.report.plots import (
    CURRENT,
    GREY,
    INK,
    LABEL,
    OWN,
    PALE,
    PROPOSED,
    WARNING,
    customer_axis,
    customer_hover,
    escaped,
    graph_objects,
    largest,
    new_figure,
    rows_height,
)
from credit_portfolio.report.words import (
    VISIBLE_EXCESS,
    has_current,
    has_limits,
    over_limit,
    plain_label,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from credit_portfolio.allocation import Allocation
    from credit_portfolio.report.plots import Figure

LARGEST_CUSTOMERS = 20
MOST_BREACHES = 10
MOST_POINTS = 2_000
"""Points of the scatter: an SVG with more is slow to draw, and the rest are specks at 0."""


def shares_figure(allocation: Allocation, most: int = LARGEST_CUSTOMERS) -> Figure:
    """Draw the proposed and the current share of the largest customers.

    Parameters
    ----------
    allocation : Allocation
    most : int, default 20
        Customers shown, the largest by proposed or current share.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    go = graph_objects()
    c = allocation.customers
    compared = has_current(allocation)
    size = c[["share", "current_share"]].max(axis=1) if compared else c["share"]
    shown = c.loc[largest(size, most)].sort_values("share", kind="stable")
    place = list(range(len(shown)))
    figure = new_figure("Largest customers: share of credit", height=rows_height(len(shown)))
    if compared:
        figure.add_trace(_joined(go, place, shown["current_share"], shown["share"]))
        figure.add_trace(
            go.Scatter(
                x=shown["current_share"],
                y=place,
                mode="markers",
                name="today",
                marker={"size": 11, "color": "white", "line": {"width": 2.5, "color": GREY}},
                hoverinfo="text",
                hovertext=customer_hover(allocation, shown),
                cliponaxis=False,
            )
        )
    figure.add_trace(
        go.Scatter(
            x=shown["share"],
            y=place,
            mode="markers",
            name="proposed",
            marker={"size": 12, "color": PROPOSED},
            hoverinfo="text",
            hovertext=customer_hover(allocation, shown),
            cliponaxis=False,
        )
    )
    customer_axis(figure, shown.index)
    figure.update_xaxes(tickformat=".1~%", rangemode="tozero", title_text="share of the credit")
    return figure


def _joined(go: Any, place: Sequence[int], start: pd.Series[Any], end: pd.Series[Any]) -> Any:
    x: list[float | None] = []
    y: list[float | None] = []
    for at, a, b in zip(place, start, end, strict=True):
        x += [a, b, None]
        y += [at, at, None]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": CURRENT, "width": 2.5},
        hoverinfo="skip",
        showlegend=False,
    )


def risk_figure(allocation: Allocation, most: int = MOST_POINTS) -> Figure:
    """Draw each customer's share of the risk against his share of the credit.

    Parameters
    ----------
    allocation : Allocation
    most : int, default 2000
        Points drawn, the largest shares.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    go = graph_objects()
    c = allocation.customers
    shown = c.loc[largest(c["share"], most)]
    at_limit = shown["reason"] == "at limit"
    figure = new_figure("Risk against credit", height=430)
    widest = float(shown["share"].max()) if len(shown) else 1.0
    end = max(widest, float(shown["risk_share"].max()) if len(shown) else 1.0)
    figure.add_trace(
        go.Scatter(
            x=[0, end],
            y=[0, end],
            mode="lines",
            name="as much risk as credit",
            line={"color": GREY, "width": 1.5, "dash": "dash"},
            hoverinfo="skip",
        )
    )
    groups = [("at limit", at_limit, OWN, "square"), ("others", ~at_limit, PROPOSED, "circle")]
    for label, chosen, colour, symbol in groups:
        part = shown[chosen]
        if part.empty:
            continue
        figure.add_trace(
            go.Scatter(
                x=part["share"],
                y=part["risk_share"],
                mode="markers",
                name=label if at_limit.any() else "customers",
                marker={
                    "size": 9,
                    "color": colour,
                    "symbol": symbol,
                    "opacity": 0.85,
                    "line": {"width": 1, "color": "white"},
                },
                hoverinfo="text",
                hovertext=customer_hover(allocation, part),
            )
        )
    if len(shown):
        _name_furthest(figure, shown, widest)
    low = min(0.0, float(shown["risk_share"].min()) if len(shown) else 0.0)
    figure.update_xaxes(
        tickformat=".1~%", range=[-0.03 * widest, 1.06 * widest], title_text="share of the credit"
    )
    figure.update_yaxes(
        tickformat=".1~%", range=[1.06 * low - 0.03 * end, 1.06 * end], title_text="share of risk"
    )
    figure.update_layout(hovermode="closest")
    return figure


def _name_furthest(figure: Any, shown: pd.DataFrame, widest: float) -> None:
    """Write the id beside the customer furthest above the line; more names would overlap."""
    first = int((shown["risk_share"] - shown["share"]).argmax())
    x, y = float(shown["share"].iloc[first]), float(shown["risk_share"].iloc[first])
    if y - x < VISIBLE_EXCESS:
        return
    left = x > 0.6 * widest
    figure.add_annotation(
        x=x,
        y=y,
        text=escaped(plain_label(shown.index[first], LABEL)),
        showarrow=False,
        xanchor="right" if left else "left",
        xshift=-9 if left else 9,
        font={"size": 12},
    )


def limits_figure(allocation: Allocation, most: int = LARGEST_CUSTOMERS) -> Figure:
    """Draw the use of limits: today's breaches first, then the largest limits.

    Parameters
    ----------
    allocation : Allocation
    most : int, default 20
        Customers shown; at most ten of them for today's breaches when others have a limit.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ModelError
        When the allocation has no limits.
    """
    go = graph_objects()
    if not has_limits(allocation):
        raise ModelError(
            "the allocation has no limits, so there is no use of them to draw; fit with limits="
        )
    shown = allocation.customers.loc[_limit_order(allocation, most)]
    place = list(range(len(shown)))
    texts = customer_hover(allocation, shown)
    figure = new_figure("Use of limits", height=rows_height(len(shown)))
    for column, name, colour, width in (
        ("limit", "limit", PALE, 0.78),
        ("amount", "proposed", PROPOSED, 0.4),
    ):
        figure.add_trace(
            go.Bar(
                x=shown[column],
                y=place,
                orientation="h",
                width=width,
                name=name,
                marker={
                    "color": colour,
                    "line": {"width": 1 if column == "limit" else 0, "color": CURRENT},
                },
                hoverinfo="text",
                hovertext=texts,
            )
        )
    over = over_limit(allocation).loc[shown.index].to_numpy()
    if has_current(allocation):
        for chosen, name, colour in (
            (~over, "today", INK),
            (over, "today, above the limit", WARNING),
        ):
            if chosen.any():
                figure.add_trace(_today_ticks(go, shown, chosen, texts, name, colour))
    customer_axis(figure, shown.index, first_on_top=True)
    currency = str(allocation.summary.get("currency") or "")
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(
        tickformat="~s", rangemode="tozero", title_text=escaped(f"money, {currency}".rstrip(", "))
    )
    return figure


def _today_ticks(
    go: Any, shown: pd.DataFrame, chosen: Any, texts: Sequence[str], name: str, colour: str
) -> Any:
    rows: list[int] = np.flatnonzero(chosen).tolist()
    return go.Scatter(
        x=shown["current_amount"].to_numpy()[rows],
        y=rows,
        mode="markers",
        name=name,
        marker={
            "symbol": "line-ns",
            "size": 13,
            "line": {"width": 4 if colour == WARNING else 3, "color": colour},
        },
        hoverinfo="text",
        hovertext=[texts[row] for row in rows],
        cliponaxis=False,
    )


def _limit_order(allocation: Allocation, most: int) -> pd.Index[Any]:
    """Breaches by their excess, at most ten while others have a limit; then the largest limits."""
    c = allocation.customers
    over = over_limit(allocation)
    excess = (c["current_amount"] - c["limit"])[over].sort_values(ascending=False, kind="stable")
    others = c.loc[~over & (c["limit"] > 0), "limit"]
    first = excess.index[: max(MOST_BREACHES, most - len(others))][:most]
    return first.append(largest(others, most - len(first)))
