"""The picture of the prices: what a step of each condition does to the risk, on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.errors import ModelError
from credit_portfolio.report.plots import (
    INK,
    OWN,
    PROPOSED,
    escaped,
    graph_objects,
    hatched,
    named_rows,
    new_figure,
)
from credit_portfolio.report.price_words import (
    MOST_CONDITIONS,
    price_sentence,
    priced_conditions,
    short_condition,
    step_words,
)
from credit_portfolio.report.words import figures, plain_label, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from credit_portfolio.allocation import Allocation
    from credit_portfolio.report.plots import Figure

_ROW = 38  # pixels of a condition: two bars, and two lines of text beside them
# Room for the numbers at the ends of the bars, as parts of the widest.
_ROOM = 0.28


def prices_figure(allocation: Allocation, most: int = MOST_CONDITIONS) -> Figure:
    """Draw what a step more and a step less of each condition change, the dearest first.

    Parameters
    ----------
    allocation : Allocation
    most : int, default 20
        Conditions shown.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ModelError
        When no condition has a price.
    """
    go = graph_objects()
    shown = priced_conditions(allocation).head(most)
    if shown.empty:
        raise ModelError("no condition of the allocation has a price, so there is none to draw")
    currency = str(allocation.summary.get("currency") or "")
    figure = new_figure("What a step of each condition costs", height=130 + _ROW * len(shown))
    place = np.arange(len(shown), dtype=float)
    sentences = _sentences(allocation, shown)
    for column, label, colour, pattern, shift in (
        ("more", "one step more", PROPOSED, "", -0.19),
        ("less", "one step less", OWN, "/", 0.19),
    ):
        figure.add_trace(
            go.Bar(
                x=shown[column],
                y=place + shift,
                orientation="h",
                width=0.34,
                name=label,
                marker={
                    "color": colour,
                    "pattern": hatched(pattern),
                },
                text=[figures(value) for value in shown[column]],
                textposition="outside",
                textfont={"size": 11, "color": INK},
                constraintext="none",
                cliponaxis=False,
                hoverinfo="text",
                hovertext=sentences,
            )
        )
    _impossible(figure, go, shown, place, sentences)
    names = [
        f"{escaped(short_condition(row))}<br>{escaped(step_words(row, allocation))}"
        for row in rows_of(shown)
    ]
    named_rows(figure, names, first_on_top=True)
    low, high = _span(shown)
    title = f"change of the standard deviation, {currency}".rstrip(", ")
    figure.update_xaxes(tickformat="~s", range=[low, high], title_text=escaped(title))
    figure.update_layout(barmode="overlay", hovermode="closest", legend_traceorder="normal")
    return figure


def _impossible(
    figure: Any, go: Any, shown: pd.DataFrame, place: Any, sentences: list[str]
) -> None:
    """Mark steps after which nothing meets all conditions."""
    x, y, texts = [], [], []
    for column, shift in (("more", -0.19), ("less", 0.19)):
        for row in np.flatnonzero(shown[column].isna()):
            x.append(0.0)
            y.append(float(place[row]) + shift)
            texts.append(sentences[row])
    if x:
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="markers",
                name="cannot be met",
                marker={"symbol": "x", "size": 8, "color": INK},
                hoverinfo="text",
                hovertext=texts,
                cliponaxis=False,
            )
        )


def _sentences(allocation: Allocation, shown: pd.DataFrame) -> list[str]:
    kind_of = {str(name): str(kind) for name, kind in allocation.evaluation["kind"].items()}
    return [
        f"<b>{escaped(plain_label(row.Index))}</b><br>"
        + "<br>".join(escaped(part) for part in _wrapped(price_sentence(row, kind_of, allocation)))
        for row in rows_of(shown)
    ]


def _wrapped(sentence: str) -> list[str]:
    from textwrap import wrap

    return wrap(sentence, 52)


def _span(shown: pd.DataFrame) -> tuple[float, float]:
    """Range of the axis with room for numbers at the ends of the bars."""
    both = np.nan_to_num(shown[["more", "less"]].to_numpy(dtype=np.float64))
    low, high = min(float(both.min()), 0.0), max(float(both.max()), 0.0)
    room = _ROOM * (high - low)
    return (low - room if low < 0 else -0.04 * high), (high + room if high > 0 else -0.04 * low)
