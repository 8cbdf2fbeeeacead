"""The picture of a backtest: what each way to share out the credit came to, day after day."""

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
from credit_portfolio.report.studies import checked_backtest, lead, yardstick
from credit_portfolio.report.words import percent, plain_label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credit_portfolio.backtesting import Backtest
    from credit_portfolio.report.plots import Figure

# Colour, dash and mark: each alone tells the policies apart, also in black and white.
_LOOKS = {
    "model": (PROPOSED, "solid", "circle"),
    "current shares": (GREY, "solid", "square"),
    "equal": (GREEN, "dash", "diamond"),
    "sales-proportional": (OWN, "dot", "triangle-up"),
    "limit-proportional": (PURPLE, "dashdot", "x"),
}
_PANEL = 205  # pixels: three of them fit on a sheet of A4 with their words
_MOST_DAYS = 6  # named below the picture: more would overlap on a narrow page
_OTHER = (INK, "longdash", "circle-open")


def backtest_figure(backtest: Backtest) -> Figure:
    """Draw each policy's realised returns, its lead, and its credit in bad intervals.

    The lead is the policy's return less that of today's shares (or of equal ones, where there are
    none today), added up over the days; it is left out where the horizons of the days overlap,
    since the same sales would then count more than once.

    Parameters
    ----------
    backtest : Backtest
        What ``credit_portfolio.backtest`` returns.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    TypeError
        For anything but a backtest.
    """
    checked_backtest(backtest)
    ahead = lead(backtest)
    drawn = [("Return on the sales that followed", _wide(backtest, "return"))]
    if ahead is not None:
        drawn.append((f"Lead over {yardstick(backtest)}, added up", ahead))
    drawn.append(("Credit that fell in bad intervals", _wide(backtest, "bad_share")))
    figure = panels(
        "What each way to share out credit earned",
        [_PANEL] * len(drawn),
        between=46,
        around=170,
        shared_xaxes=True,
    )
    for row, (title, table) in enumerate(drawn, start=1):
        for trace in _lines(title, table, legend=row == 1):
            figure.add_trace(trace, row=row, col=1)
        lowest = float(np.nanmin(table.to_numpy())) if table.notna().to_numpy().any() else 0.0
        figure.update_yaxes(tickformat=".2~%", row=row, col=1)
        if title.startswith("Credit") and lowest >= 0:
            figure.update_yaxes(rangemode="tozero", row=row, col=1)
    headings(figure, [title for title, _ in drawn])
    days = sorted(set(backtest.days["day"]))
    told = days[:: -(-len(days) // _MOST_DAYS)]
    texts = [f"{pd.Timestamp(day).day} {pd.Timestamp(day):%b<br>%Y}" for day in told]
    figure.update_xaxes(type="date", tickvals=told, ticktext=texts)
    figure.update_xaxes(title_text="day of the decision", row=len(drawn), col=1)
    figure.update_layout(hovermode="closest", legend_traceorder="normal")
    return figure


def _wide(backtest: Backtest, figure: str) -> pd.DataFrame:
    """One row per day, one column per policy in the order of the summary."""
    table = backtest.days.pivot(index="day", columns="portfolio", values=figure)
    return table[list(backtest.summary.index)]


def _lines(title: str, table: pd.DataFrame, *, legend: bool) -> Iterator[Any]:
    go = graph_objects()
    for name in table.columns:
        colour, dash, symbol = _LOOKS.get(str(name), _OTHER)
        model = name == "model"
        yield go.Scatter(
            x=table.index.tolist(),
            y=table[name].tolist(),
            mode="lines+markers",
            name=escaped(plain_label(name)),
            legendgroup=escaped(str(name)),
            showlegend=legend,
            line={"color": colour, "width": 3 if model else 2, "dash": dash},
            marker={"symbol": symbol, "size": 8 if model else 7},
            hoverinfo="text",
            hovertext=[
                f"<b>{escaped(plain_label(name))}</b>, {escaped(str(day))}<br>"
                + escaped(f"{title.lower()}: {percent(value, 2)}")
                for day, value in table[name].items()
            ],
        )
