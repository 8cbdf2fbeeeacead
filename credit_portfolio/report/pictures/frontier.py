"""The picture of a frontier: how the least risk moves with what was swept, and who holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.report.plots import (
    GREEN,
    GREY,
    INK,
    OWN,
    PROPOSED,
    PURPLE,
    escaped,
    graph_objects,
    headings,
    panels,
)
from credit_portfolio.report.studies import (
    checked_frontier,
    keeps_conditions,
    reference_places,
    swept_name,
    swept_phrase,
)
from credit_portfolio.report.words import number, percent, percent_figures, plain_label

if TYPE_CHECKING:
    from credit_portfolio.frontiers import Frontier
    from credit_portfolio.report.plots import Figure

# Shape and colour of the usual portfolios, in the order of the frontier's references.
_MARKS = {
    "current book": ("square", GREY),
    "equal shares": ("diamond", GREEN),
    "limit-proportional shares": ("triangle-up", OWN),
    "optimum": ("star", PURPLE),
}
_PANELS = (330, 150)


def frontier_figure(frontier: Frontier, currency: str = "") -> Figure:
    """Draw the least standard deviation along what was swept, and how many customers hold credit.

    Parameters
    ----------
    frontier : Frontier
        What ``credit_portfolio.frontier`` returns.
    currency : str
        For the axis of a swept budget.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    TypeError
        For anything but a frontier.
    """
    go = graph_objects()
    checked_frontier(frontier)
    points = frontier.points
    figure = panels(
        f"Least risk, by {swept_name(frontier)}",
        _PANELS,
        between=46,
        around=170,
        shared_xaxes=True,
    )
    few = "lines+markers" if int((points["status"] == "optimal").sum()) < 30 else "lines"
    hover = _hover(frontier, currency)
    figure.add_trace(
        go.Scatter(
            x=points["value"],
            y=points["standard_deviation"],
            mode=few,
            name="frontier",
            line={"color": PROPOSED, "width": 2.5},
            marker={"size": 5},
            hoverinfo="text",
            hovertext=hover,
        ),
        row=1,
        col=1,
    )
    for trace in _references(go, frontier, currency):
        figure.add_trace(trace, row=1, col=1)
    for column, name, dash in (
        ("n_with_credit", "customers with credit", "solid"),
        ("effective_customers", "effective customers", "dot"),
    ):
        held = points[column].where(points["status"] == "optimal")
        figure.add_trace(
            go.Scatter(
                x=points["value"],
                y=held,
                mode=few,
                name=name,
                line={"color": INK if dash == "solid" else GREY, "width": 2, "dash": dash},
                marker={"size": 5},
                hoverinfo="text",
                hovertext=hover,
            ),
            row=2,
            col=1,
        )
    _axes(figure, frontier, currency)
    return figure


def _axes(figure: Any, frontier: Frontier, currency: str) -> None:
    headings(figure, ["Standard deviation of the return", "Customers who hold the credit"])
    figure.update_yaxes(tickformat=".2~%", row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=2, col=1)
    in_money = frontier.over == "budget"
    figure.update_xaxes(tickformat="~s" if in_money else ".2~%", range=_span(frontier))
    axis = swept_name(frontier)
    if in_money:
        axis = f"{axis}, {currency}".rstrip(", ")
    figure.update_xaxes(title_text=escaped(axis), row=2, col=1)
    figure.update_layout(hovermode="closest", legend_traceorder="normal")


def _span(frontier: Frontier) -> list[float] | None:
    """Range that holds the line and all marks, with room for their size."""
    places = [*frontier.points["value"], *reference_places(frontier)]
    known = [place for place in places if np.isfinite(place)]
    room = 0.04 * (max(known) - min(known))
    return [min(known) - room, max(known) + room] if room > 0 else None


def _references(go: Any, frontier: Frontier, currency: str) -> list[Any]:
    """One mark for each usual portfolio, open where it breaks a target or a limit."""
    table = frontier.references.rename_axis("portfolio").reset_index()
    places, kept = reference_places(frontier).tolist(), keeps_conditions(frontier).tolist()
    traces = []
    for row, place, keeps in zip(table.to_dict("records"), places, kept, strict=True):
        if pd.isna(place):
            continue
        name = str(row["portfolio"])
        symbol, colour = _MARKS.get(name, ("circle", INK))
        where = escaped(swept_phrase(frontier, place, currency))
        lines = [f"<b>{escaped(plain_label(name))}</b>", where, _figures(row)]
        traces.append(
            go.Scatter(
                x=[place],
                y=[row["standard_deviation"]],
                mode="markers",
                name=escaped(plain_label(name)),
                marker={
                    "symbol": symbol if keeps else f"{symbol}-open",
                    "size": 15 if symbol == "star" else 12,
                    "color": colour,
                    "line": {"width": 1, "color": "white"} if keeps else {"width": 2.5},
                },
                hoverinfo="text",
                hovertext="<br>".join(lines + ([] if keeps else ["breaks a target or a limit"])),
                cliponaxis=False,
            )
        )
    return traces


def _hover(frontier: Frontier, currency: str) -> list[str]:
    told = []
    for row in frontier.points.to_dict("records"):
        place = swept_phrase(frontier, row["value"], currency)
        figures = _figures(row) if row["status"] == "optimal" else "out of reach"
        told.append(f"<b>{escaped(place)}</b><br>{figures}")
    return told


def _figures(row: Any) -> str:
    lines = [f"standard deviation {percent_figures(row['standard_deviation'])}"]
    if not pd.isna(row["mean_return"]):
        lines.append(f"mean return {percent(row['mean_return'], 2)}")
    lines += [
        f"{int(row['n_with_credit']):,} customers with credit",
        f"{number(row['effective_customers'], 1)} effective",
    ]
    return "<br>".join(escaped(line) for line in lines)
