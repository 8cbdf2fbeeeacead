"""The picture of P: what the history of each customer says, and on how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import ModelError
from credit_portfolio.report.plots import (
    INK,
    LABEL,
    TITLE,
    escaped,
    graph_objects,
    named_rows,
    new_figure,
)
from credit_portfolio.report.words import (
    BORROWED,
    LARGEST_PROFILES,
    count_figure,
    counts_of,
    folded,
    has_profiles,
    money,
    percent,
    plain_label,
    plural,
    profiles_shown,
)

if TYPE_CHECKING:
    from credit_portfolio.allocation import Allocation
    from credit_portfolio.report.plots import Figure

_ROW = 18  # pixels of a customer's row: forty of them fit on a sheet of A4 with their words
# White to blue by lightness, no darker than where dark numbers are still easy to read.
_BLUES = ("#FFFFFF", "#E3EEF9", "#C3DBF1", "#9CC5EA", "#74B0E2", "#4F9BD9")
_FOOT = 70  # pixels of the scale below
_HEAD = 88  # pixels of the names above
_LINE = 15  # pixels of one line of them


def profiles_figure(allocation: Allocation, most: int = LARGEST_PROFILES) -> Figure:
    """Draw the evaluation matrix P: customers by intervals, with the counts behind it.

    A cell's colour is p, the frequency drawn towards the customer's class; its number counts the
    periods in the interval, and the column beside all periods of the customer. Customers with
    too few periods of their own, for whom the row of their class stands in, are marked.

    Parameters
    ----------
    allocation : Allocation
    most : int, default 40
        Customers shown, the largest amounts.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ModelError
        When the allocation does not hold the customers' profiles.
    """
    go = graph_objects()
    if not has_profiles(allocation):
        raise ModelError(
            "the allocation holds no profiles of its customers, so there is no matrix to draw; "
            "fit again: allocations of older versions do not keep them"
        )
    shown = profiles_shown(allocation, most)
    e = allocation.evaluation
    p, counts = shown[list(e.index)], counts_of(shown, e.index)
    size, rows = len(e), len(shown)
    figure = new_figure(
        "How often each customer's return fell in each interval",
        height=_HEAD + _FOOT + 40 + _ROW * max(rows, 3),
    )
    figure.add_trace(
        go.Heatmap(
            z=p.to_numpy(dtype=np.float64),
            x=list(range(size)),
            y=list(range(rows)),
            zmin=0.0,
            zmax=1.0,
            colorscale=[[at / (len(_BLUES) - 1), blue] for at, blue in enumerate(_BLUES)],
            xgap=2,
            ygap=2,
            text=_cells(counts),
            texttemplate="%{text}",
            textfont={"size": 12, "color": INK},
            hoverinfo="text",
            hovertext=_hover(allocation, shown, p, counts),
            colorbar=_scale(),
        )
    )
    figure.add_trace(_periods(go, shown, size))
    labels = [
        escaped(plain_label(name, LABEL)) + (f" {BORROWED}" if borrowed else "")
        for name, borrowed in zip(shown.index, shown["borrowed"], strict=True)
    ]
    named_rows(figure, labels, first_on_top=True)
    figure.update_yaxes(range=[rows - 0.5, -0.5])
    heads = [
        f"{_folded(name)}<br>{escaped(str(kind))}"
        for name, kind in zip(e.index, e["kind"], strict=True)
    ]
    figure.update_xaxes(
        side="top",
        tickvals=list(range(size + 1)),
        ticktext=[*heads, "all<br>periods"],
        tickangle=0,
        range=[-0.5, size + 0.5],
        showgrid=False,
        zeroline=False,
        showline=False,
        ticklen=3,
        tickfont={"size": 11},
    )
    lines = 1 + max(head.count("<br>") for head in heads)
    figure.update_layout(
        hovermode="closest", showlegend=False, margin_t=TITLE + _LINE * lines, margin_b=_FOOT
    )
    _line_before_good(figure, e)
    return figure


def _folded(name: object) -> str:
    return "<br>".join(escaped(line) for line in folded(plain_label(name, 30), 9))


def _cells(counts: pd.DataFrame) -> list[list[str]]:
    return [[count_figure(value) for value in row] for row in counts.to_numpy(dtype=np.float64)]


def _hover(
    allocation: Allocation, shown: pd.DataFrame, p: pd.DataFrame, counts: pd.DataFrame
) -> list[list[str]]:
    amounts = allocation.customers["amount"].reindex(shown.index)
    names = [plain_label(name) for name in p.columns]
    parts, counted = p.to_numpy(dtype=np.float64), counts.to_numpy(dtype=np.float64)
    texts = []
    for i, who in enumerate(shown.index):
        head = f"<b>{escaped(plain_label(who))}</b><br>"
        periods = count_figure(float(shown["periods"].iloc[i]))
        own = f"of his {periods} periods"
        if shown["borrowed"].iloc[i]:
            own += ", too few: the row of his class stands in"
        amount = escaped(f"proposed {money(float(amounts.iloc[i]), allocation)}")
        texts.append(
            [
                head
                + escaped(f"{name}: p = {percent(parts[i, j])}")
                + "<br>"
                + escaped(f"{count_figure(counted[i, j])} {own}")
                + f"<br>{amount}"
                for j, name in enumerate(names)
            ]
        )
    return texts


def _periods(go: Any, shown: pd.DataFrame, place: int) -> Any:
    """Write each customer's number of periods beside his row."""
    return go.Scatter(
        x=[place] * len(shown),
        y=list(range(len(shown))),
        mode="text",
        text=[count_figure(float(value)) for value in shown["periods"]],
        textfont={"size": 12, "color": INK},
        hoverinfo="text",
        hovertext=[
            f"<b>{escaped(plain_label(who))}</b><br>"
            + escaped(plural(int(periods), "period") + " in all")
            for who, periods in zip(shown.index, shown["periods"], strict=True)
        ],
        cliponaxis=False,
    )


def _scale() -> dict[str, Any]:
    return {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "ypad": 14,
        "xpad": 0,
        "len": 1.0,
        "thickness": 10,
        "tickformat": ".0%",
        "tickvals": [0, 0.25, 0.5, 0.75, 1],
        "tickfont": {"size": 11},
        "outlinewidth": 0,
        "title": {
            "text": "p, the frequency that is used",
            "side": "bottom",
            "font": {"size": 12},
        },
    }


def _line_before_good(figure: Any, e: pd.DataFrame) -> None:
    """Part bad from good intervals, where there are both."""
    good = (e["kind"] == "good").to_numpy()
    if good.any() and not good.all():
        figure.add_vline(x=float(np.argmax(good)) - 0.5, line_width=2, line_color=INK)
