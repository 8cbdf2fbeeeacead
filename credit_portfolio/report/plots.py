"""The pictures, one function each; the only file that imports plotly.

Each returns a ``plotly.graph_objects.Figure``: shown as it is in Jupyter, and put on the page by
``html.py``. Customers stand at numbered places with their ids as tick texts, so that an id is never
taken for a number, a date or markup, and two ids that are cut alike stay apart.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.report.words import (
    DASH,
    VISIBLE_EXCESS,
    bucket_label,
    has_current,
    has_limits,
    has_targets,
    money,
    over_limit,
    percent,
    plain_label,
    rows_of,
    side,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import plotly.graph_objects as go

    from credit_portfolio.allocation import Allocation

# Okabe and Ito's palette, told apart by every kind of colour vision; grey for what is today.
PROPOSED = "#0072B2"
CURRENT = "#9AA7B4"
WARNING = "#D55E00"
OWN = "#E69F00"
INK = "#1F2933"
PALE = "#E4E9EE"
# From not due to longest overdue: light to dark, so that it also reads in black and white.
_AGES = ("#C6DBEF", "#F6D9A6", "#EDA64A", "#D55E00", "#8A2F00")

_LABEL = 18  # characters of an id beside an axis
_ROW = 24  # pixels of a customer's row
_FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif'
)

LARGEST_CUSTOMERS = 20
MOST_BREACHES = 10
MOST_POINTS = 2_000
"""Points of the scatter: an SVG with more is slow to draw, and the rest are specks at 0."""
AGEING_CUSTOMERS = 15


def plotly_script() -> str:
    """Return plotly.js, as installed with plotly."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def evaluation_figure(allocation: Allocation) -> go.Figure:
    """Draw B against its targets, and the portfolio's own distribution.

    Parameters
    ----------
    allocation : Allocation

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    e = allocation.evaluation
    place = np.arange(len(e), dtype=float)
    names = [plain_label(name) for name in e.index]
    series = [("proposed", "B proposed", PROPOSED, -0.2), ("current", "B today", CURRENT, 0.2)]
    if e["current"].isna().all():
        series = [("proposed", "B proposed", PROPOSED, 0.0)]
    figure = _figure("Evaluation B against its targets", height=150 + 72 * len(e))
    for column, label, colour, shift in series:
        figure.add_trace(
            go.Bar(
                x=e[column],
                y=place + shift,
                orientation="h",
                width=0.38,
                name=label,
                marker_color=colour,
                hoverinfo="text",
                hovertext=[
                    _text(f"{label} in {name}: {percent(value, 2)}")
                    for name, value in zip(names, e[column], strict=True)
                ],
            )
        )
    if has_targets(allocation):
        figure.add_trace(_target_lines(go, e, place, names))
    for column, label, _, shift in series:
        figure.add_trace(_own_marks(go, e, place + shift, names, column, label))
    figure.update_layout(barmode="overlay", hovermode="closest")
    figure.update_yaxes(
        tickvals=place.tolist(),
        ticktext=[_interval_text(row) for row in rows_of(e)],
        range=[len(e) - 0.45, -0.55],
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(
        tickformat=".0%", rangemode="tozero", title_text="part of credit, or of periods"
    )
    return figure


def _interval_text(row: Any) -> str:
    """Say the interval over its kind and target; two short lines also fit a narrow page."""
    kind = str(row.kind)
    target = "free" if pd.isna(row.target) else f"{'≤' if kind == 'bad' else '≥'} "
    bound = "" if pd.isna(row.target) else percent(row.target)
    return f"{_text(plain_label(row.Index, _LABEL))}<br>{_text(f'{kind}, {target}{bound}')}"


def _target_lines(go: Any, e: pd.DataFrame, place: Any, names: Sequence[str]) -> Any:
    """One trace of short lines, as wide as the bars whatever the size of the picture."""
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for at, name, kind, target in zip(place, names, e["kind"], e["target"], strict=True):
        if not pd.isna(target):
            x += [target, target, target, None]
            y += [at - 0.44, at, at + 0.44, None]
            texts += [_text(f"target in {name}: {side(kind)} {percent(target, 2)}")] * 3 + [""]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name="target b",
        line={"color": INK, "width": 2.5},
        hoverinfo="text",
        hovertext=texts,
        cliponaxis=False,
    )


def _own_marks(
    go: Any, e: pd.DataFrame, y: Any, names: Sequence[str], column: str, label: str
) -> Any:
    frequency = e[f"{column}_periods"]
    whose = label.removeprefix("B ")
    return go.Scatter(
        x=frequency,
        y=y,
        mode="markers",
        name=f"periods, {whose}",
        marker={
            "symbol": "diamond",
            "size": 11,
            "color": OWN if column == "proposed" else "white",
            "line": {"width": 1.5, "color": INK if column == "proposed" else "#5B6B7A"},
        },
        hoverinfo="text",
        hovertext=[
            _text(f"periods in which the portfolio ({whose}) fell in {name}: {percent(value)}")
            for name, value in zip(names, frequency, strict=True)
        ],
        cliponaxis=False,
    )


def shares_figure(allocation: Allocation, most: int = LARGEST_CUSTOMERS) -> go.Figure:
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
    import plotly.graph_objects as go

    c = allocation.customers
    compared = has_current(allocation)
    size = c[["share", "current_share"]].max(axis=1) if compared else c["share"]
    shown = c.loc[_largest(size, most)].sort_values("share", kind="stable")
    place = list(range(len(shown)))
    figure = _figure("Largest customers: share of credit", height=_rows_height(len(shown)))
    if compared:
        figure.add_trace(_joined(go, place, shown["current_share"], shown["share"]))
        figure.add_trace(
            go.Scatter(
                x=shown["current_share"],
                y=place,
                mode="markers",
                name="today",
                marker={"size": 11, "color": "white", "line": {"width": 2.5, "color": "#6B7B8A"}},
                hoverinfo="text",
                hovertext=_hover(allocation, shown),
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
            hovertext=_hover(allocation, shown),
            cliponaxis=False,
        )
    )
    _customer_axis(figure, shown.index)
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


def risk_figure(allocation: Allocation, most: int = MOST_POINTS) -> go.Figure:
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
    import plotly.graph_objects as go

    c = allocation.customers
    shown = c.loc[_largest(c["share"], most)]
    at_limit = shown["reason"] == "at limit"
    figure = _figure("Risk against credit", height=430)
    widest = float(shown["share"].max()) if len(shown) else 1.0
    end = max(widest, float(shown["risk_share"].max()) if len(shown) else 1.0)
    figure.add_trace(
        go.Scatter(
            x=[0, end],
            y=[0, end],
            mode="lines",
            name="as much risk as credit",
            line={"color": "#6B7B8A", "width": 1.5, "dash": "dash"},
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
                hovertext=_hover(allocation, part),
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
        text=_text(plain_label(shown.index[first], _LABEL)),
        showarrow=False,
        xanchor="right" if left else "left",
        xshift=-9 if left else 9,
        font={"size": 12},
    )


def limits_figure(allocation: Allocation, most: int = LARGEST_CUSTOMERS) -> go.Figure:
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
    import plotly.graph_objects as go

    if not has_limits(allocation):
        raise ModelError(
            "the allocation has no limits, so there is no use of them to draw; fit with limits="
        )
    shown = allocation.customers.loc[_limit_order(allocation, most)]
    place = list(range(len(shown)))
    texts = _hover(allocation, shown)
    figure = _figure("Use of limits", height=_rows_height(len(shown)))
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
    _customer_axis(figure, shown.index, first_on_top=True)
    currency = str(allocation.summary.get("currency") or "")
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(
        tickformat="~s", rangemode="tozero", title_text=_text(f"money, {currency}".rstrip(", "))
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
    return first.append(_largest(others, most - len(first)))


def ageing_figure(ageing: pd.DataFrame, currency: str = "") -> go.Figure:
    """Draw what is open by age: all of it, and the largest customers.

    Parameters
    ----------
    ageing : pandas.DataFrame
        One row per customer or group (or one row of totals); the buckets in their order, then
        ``total``; money. ``Ledger.ageing`` gives it.
    currency : str
        For axes and hovers.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    DataError
        For a table without rows, buckets or total, or with anything but numbers.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    money_table = checked_ageing(ageing)
    buckets = [name for name in money_table.columns if name != "total"]
    largest = money_table.loc[_largest(money_table["total"], AGEING_CUSTOMERS)]
    split = len(money_table) > 1
    height = 190 + (_ROW * len(largest) + 20 if split else 0)
    parts = [60.0, float(_ROW * len(largest))] if split else None
    base = make_subplots(
        rows=2 if split else 1,
        cols=1,
        row_heights=parts,
        vertical_spacing=60.0 / height if split else 0.0,
    )
    figure = _styled(go, base, "Ageing of what is open", height)
    rows = [(money_table.sum().to_frame("all").T, 1)] + ([(largest, 2)] if split else [])
    for number, bucket in enumerate(buckets):
        for part, row in rows:
            figure.add_trace(
                go.Bar(
                    x=part[bucket],
                    y=list(range(len(part))),
                    orientation="h",
                    name=_text(bucket_label(bucket)),
                    legendgroup=str(number),
                    showlegend=row == 1,
                    marker={"color": _age_colour(number, len(buckets))},
                    hoverinfo="text",
                    hovertext=_ageing_hover(part, bucket, currency),
                ),
                row=row,
                col=1,
            )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    figure.update_xaxes(tickformat="~s")
    figure.update_yaxes(tickvals=[0], ticktext=["all"], showgrid=False, row=1, col=1)
    if split:
        _customer_axis(figure, largest.index, first_on_top=True, row=2, col=1)
    axis = _text(f"money open, {currency}".rstrip(", "))
    figure.update_xaxes(title_text=axis, row=2 if split else 1, col=1)
    return figure


def checked_ageing(ageing: pd.DataFrame) -> pd.DataFrame:
    """Return the ageing as numbers, or say what is wrong with it.

    Raises
    ------
    DataError
        For a table without rows, buckets or total, or with anything but numbers.
    """
    columns = [str(name) for name in ageing.columns]
    if columns.count("total") != 1 or len(columns) < 2 or ageing.empty:
        raise DataError(
            f"the ageing has {len(ageing):,} rows and the columns {columns}; expected at least one "
            "row, the buckets, and one column 'total': give what Ledger.ageing returns"
        )
    try:
        table = ageing.astype("float64")
    except (TypeError, ValueError) as error:
        raise DataError(f"the ageing holds something that is not a number: {error}") from error
    if not np.isfinite(table.to_numpy()).all():
        raise DataError("the ageing holds NaN or infinite money; expected a number in every cell")
    table.columns = pd.Index(columns)
    return table


def _age_colour(number: int, count: int) -> str:
    position = 0.0 if count < 2 else number * (len(_AGES) - 1) / (count - 1)
    return _AGES[round(position)]


def _ageing_hover(part: pd.DataFrame, bucket: str, currency: str) -> list[str]:
    unit = f" {currency}".rstrip()
    return [
        f"<b>{_text(plain_label(name))}</b><br>"
        + _text(
            f"{bucket_label(bucket)}: {value:,.2f}{unit} "
            f"({percent(value / total if total else 0.0)} of {total:,.2f})"
        )
        for name, value, total in zip(part.index, part[bucket], part["total"], strict=True)
    ]


# ------------------------------------------------------------------------------ shared by all


def _rows_height(rows: int) -> int:
    """Room for so many customers, and for axis and legend however few they are."""
    return max(140 + _ROW * rows, 230)


def _figure(title: str, height: int) -> Any:
    import plotly.graph_objects as go

    return _styled(go, go.Figure(), title, height)


def _styled(go: Any, figure: Any, title: str, height: int) -> Any:
    figure.update_layout(template=_template(go), title_text=title, height=height)
    return figure


def _template(go: Any) -> Any:
    """Build the look that all pictures share; it is not registered, so no other figure changes."""
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
            "title": {"x": 0, "xref": "paper", "font": {"size": 17}},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "margin": {"l": 10, "r": 16, "t": 70, "b": 10},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
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


def _customer_axis(
    figure: Any, ids: Iterable[object], *, first_on_top: bool = False, **where: int
) -> None:
    labels = [_text(plain_label(name, _LABEL)) or DASH for name in ids]
    span = [-0.6, len(labels) - 0.4]
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=labels,
        range=span[::-1] if first_on_top else span,
        showgrid=False,
        zeroline=False,
        **where,
    )


def _largest(values: pd.Series[Any], most: int) -> pd.Index[Any]:
    """Labels of the largest values above 0, the largest first; ties in their order."""
    above = values[values > 0].sort_values(ascending=False, kind="stable")
    return above.index[: max(most, 0)]


def _hover(allocation: Allocation, rows: pd.DataFrame) -> list[str]:
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
        body = "<br>".join(_text(line) for line in lines)
        texts.append(f"<b>{_text(plain_label(row.Index))}</b><br>{body}")
    return texts


def _text(text: str) -> str:
    """Make text safe for Plotly, which reads tags, entities and, between dollars, formulas."""
    return html.escape(text, quote=False).replace("$", "&#36;")
