"""What all pictures share: their look, their texts, and the one door to plotly.

The pictures themselves stand in ``pictures/``, one file a thought. Each is a
``plotly.graph_objects.Figure``: shown as it is in Jupyter, and put on the page by ``html.py``.
Customers stand at numbered places with their ids as tick texts, so that an id is never taken for a
number, a date or markup, and two ids that are cut alike stay apart.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import pandas as pd

from credit_portfolio.report.words import (
    DASH,
    has_current,
    money,
    percent,
    plain_label,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plotly.graph_objects import Figure as Figure

    from credit_portfolio.allocation import Allocation

# Okabe and Ito's palette, told apart by every kind of colour vision; grey for what is today.
PROPOSED = "#0072B2"
CURRENT = "#9AA7B4"
WARNING = "#D55E00"
OWN = "#E69F00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
INK = "#1F2933"
GREY = "#6B7B8A"
PALE = "#E4E9EE"

LABEL = 18
"""Characters of an id beside an axis."""
TITLE = 44
"""Pixels that the title takes at the top."""
_HEADING = 26
ROW = 24
"""Pixels of a customer's row."""
_FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif'
)


def plotly_script() -> str:
    """Return plotly.js, as installed with plotly."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def graph_objects() -> Any:
    """Return plotly's traces, loaded when the first picture is drawn."""
    import plotly.graph_objects as go

    return go


def rows_height(rows: int) -> int:
    """Room for so many customers, and for axis and legend however few they are."""
    return max(140 + ROW * rows, 230)


def new_figure(title: str, height: int) -> Any:
    """Return an empty picture of the common look."""
    return styled(graph_objects().Figure(), title, height)


def panels(title: str, heights: Sequence[int], *, between: int, around: int, **options: Any) -> Any:
    """Return an empty picture of panels one above the other, their heights in pixels.

    Parameters
    ----------
    title : str
    heights : sequence of int
        Of the panels, from above.
    between : int
        Pixels between two of them.
    around : int
        Pixels above and below all, for legend, title and axis.
    **options
        For plotly's ``make_subplots``.
    """
    from plotly.subplots import make_subplots

    inner = sum(heights) + between * (len(heights) - 1)
    base = make_subplots(
        rows=len(heights),
        cols=1,
        row_heights=[float(height) for height in heights],
        vertical_spacing=between / inner if len(heights) > 1 else 0.0,
        **options,
    )
    return styled(base, title, inner + around)


def styled(figure: Any, title: str, height: int) -> Any:
    """Give a picture the common look."""
    figure.update_layout(template=_template(), title_text=title, height=height)
    # The legend hangs below the title, and pushes the plot down by as many lines as it takes.
    figure.update_layout(legend_y=1.0 - TITLE / height)
    return figure


def _template() -> Any:
    """Build the look that all pictures share; it is not registered, so no other figure changes."""
    go = graph_objects()
    axis = {
        "gridcolor": "#E8ECF0",
        "linecolor": "#B8C2CC",
        "zerolinecolor": "#B8C2CC",
        "zerolinewidth": 1,
        # Ticks that nobody sees keep the labels off the marks at 0.
        "ticks": "outside",
        "ticklen": 7,
        "tickcolor": "rgba(0,0,0,0)",
        "automargin": True,
        "title": {"standoff": 12, "font": {"size": 13}},
        "tickfont": {"size": 12},
    }
    return go.layout.Template(
        layout={
            "font": {"family": _FONT, "size": 13, "color": INK},
            "title": {
                "x": 0,
                "xref": "paper",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "pad": {"t": 14},
                "automargin": True,
                "font": {"size": 17},
            },
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "margin": {"l": 10, "r": 16, "t": TITLE, "b": 10},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "font": {"size": 12},
                "itemclick": False,
                "itemdoubleclick": False,
            },
            "hoverlabel": {
                "align": "left",
                "bgcolor": "white",
                "bordercolor": "#B8C2CC",
                "font": {"family": _FONT, "size": 13, "color": INK},
            },
            "xaxis": axis,
            "yaxis": axis,
            "dragmode": False,
        }
    )


def hatched(shape: str) -> dict[str, Any]:
    """Return a bar's pattern, white lines on its colour; none for an empty shape."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "white", "size": 6, "solidity": 0.3}


def headings(figure: Any, texts: Sequence[str]) -> None:
    """Write a heading over each panel, with room for the first one above it."""
    axes = sorted(figure.select_yaxes(), key=lambda axis: -axis.domain[1])
    part = 1.0 - _HEADING / (figure.layout.height - _AROUND)
    for axis, text in zip(axes, texts, strict=True):
        axis.domain = [part * end for end in axis.domain]
        figure.add_annotation(
            xref="paper",
            x=0,
            xanchor="left",
            yref=f"{axis.plotly_name.replace('axis', '')} domain",
            y=1,
            yanchor="bottom",
            yshift=4,
            text=f"<b>{escaped(text)}</b>",
            showarrow=False,
            align="left",
            font={"size": 13},
        )


# Pixels that title, one line of legend, and the lowest axis of panels take.
_AROUND = 130


def customer_axis(
    figure: Any, ids: Iterable[object], *, first_on_top: bool = False, **where: int
) -> None:
    """Write ids beside their numbered places."""
    labels = [escaped(plain_label(name, LABEL)) or DASH for name in ids]
    named_rows(figure, labels, first_on_top=first_on_top, **where)


def named_rows(
    figure: Any, labels: Sequence[str], *, first_on_top: bool = False, **where: int
) -> None:
    """Write texts, escaped already, beside their numbered places."""
    span = [-0.6, len(labels) - 0.4]
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=span[::-1] if first_on_top else span,
        showgrid=False,
        zeroline=False,
        **where,
    )


def largest(values: pd.Series[Any], most: int) -> pd.Index[Any]:
    """Labels of the largest values above 0, the largest first; ties in their order."""
    above = values[values > 0].sort_values(ascending=False, kind="stable")
    return above.index[: max(most, 0)]


def customer_hover(allocation: Allocation, rows: pd.DataFrame) -> list[str]:
    """Everything about a customer that a pointer on him should say."""
    compared = has_current(allocation)
    texts = []
    for row in rows_of(rows):
        lines = [f"proposed {money(row.amount, allocation)} ({percent(row.share, 2)})"]
        if compared:
            today = f"today {money(row.current_amount, allocation)}"
            lines.append(f"{today} ({percent(row.current_share, 2)})")
        if not pd.isna(row.limit):
            use = f" ({percent(row.limit_use)} used)" if not pd.isna(row.limit_use) else ""
            lines.append(f"limit {money(row.limit, allocation)}{use}")
        lines += [f"{percent(row.risk_share, 2)} of the risk", str(row.reason)]
        body = "<br>".join(escaped(line) for line in lines)
        texts.append(f"<b>{escaped(plain_label(row.Index))}</b><br>{body}")
    return texts


def escaped(text: str) -> str:
    """Make text safe for Plotly, which reads tags, entities and, between dollars, formulas."""
    return html.escape(text, quote=False).replace("$", "&#36;")
