"""The picture of B against its targets, beside what the portfolio as a whole earns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.report.plots import (
    CURRENT,
    INK,
    LABEL,
    OWN,
    PROPOSED,
    escaped,
    graph_objects,
    hatched,
    named_rows,
    new_figure,
)
from credit_portfolio.report.words import (
    folded,
    has_bands,
    has_targets,
    known,
    percent,
    plain_label,
    rows_of,
    side,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from credit_portfolio.allocation import Allocation
    from credit_portfolio.report.plots import Figure

_LANE = 20  # pixels of a bar with its gap
_BETWEEN = 20  # pixels between two intervals
_LEAST = 56  # pixels of an interval: three lines of text


@dataclass(frozen=True, slots=True)
class _Bar:
    """One of the bars of an interval: B, or what the portfolio itself does."""

    column: str
    label: str
    colour: str
    of: str  # what the percentage is a part of
    pattern: str = ""


_BARS = (
    _Bar("proposed", "B proposed", PROPOSED, "of the proposed credit"),
    _Bar("current", "B today", CURRENT, "of today's credit"),
    _Bar("proposed_periods", "portfolio, periods", OWN, "of the panel's periods"),
    _Bar("simulated", "portfolio, simulated", OWN, "of the simulated periods", pattern="/"),
)


def evaluation_figure(allocation: Allocation) -> Figure:
    """Draw B against its targets, and beside it the portfolio's own distribution.

    Parameters
    ----------
    allocation : Allocation
        Its credible band and its simulated distribution are drawn where they are known.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    go = graph_objects()
    e = allocation.evaluation
    names = [plain_label(name) for name in e.index]
    place = np.arange(len(e), dtype=float)
    bars = [bar for bar in _BARS if bar.column == "proposed" or known(e, bar.column)]
    height = max(_LANE * len(bars) + _BETWEEN, _LEAST)
    lane = _LANE / height
    top = -0.5 * lane * len(bars)
    figure = new_figure(
        "B against its targets, and the portfolio itself",
        height=130 + height * len(e),
    )
    for number, bar in enumerate(bars):
        y = place + top + lane * (number + 0.5)
        figure.add_trace(_bars(go, e, bar, y, 0.88 * lane, names))
        if bar.column == "proposed" and has_bands(allocation):
            figure.add_trace(_band(go, e, y, names))
    if has_targets(allocation):
        mixed = sum(bar.label.startswith("B ") for bar in bars)
        ends = place + top, place + top + lane * mixed
        figure.add_trace(_target_lines(go, e, ends, names))
    figure.update_layout(barmode="overlay", hovermode="closest")
    named_rows(figure, [_interval_text(row) for row in rows_of(e)], first_on_top=True)
    figure.update_yaxes(range=[len(e) - 0.5, -0.5])
    figure.update_xaxes(
        tickformat=".0%", rangemode="tozero", title_text="part of the credit, or of the periods"
    )
    return figure


def _bars(go: Any, e: pd.DataFrame, bar: _Bar, y: Any, width: float, names: Sequence[str]) -> Any:
    return go.Bar(
        x=e[bar.column],
        y=y,
        orientation="h",
        width=width,
        name=bar.label,
        marker={"color": bar.colour, "pattern": hatched(bar.pattern)},
        hoverinfo="text",
        hovertext=[
            escaped(f"{bar.label} in {name}: {percent(value, 2)} {bar.of}")
            for name, value in zip(names, e[bar.column], strict=True)
        ],
    )


def _band(go: Any, e: pd.DataFrame, y: Any, names: Sequence[str]) -> Any:
    """One trace of lines with ends, from the low to the high side of each interval's band."""
    x: list[float | None] = []
    rows: list[float | None] = []
    texts: list[str] = []
    for at, name, low, high in zip(y, names, e["credible_low"], e["credible_high"], strict=True):
        if not (pd.isna(low) or pd.isna(high)):
            x += [low, high, None]
            rows += [at, at, None]
            said = f"B proposed in {name}: with 95% chance in {percent(low, 2)} to "
            texts += [escaped(f"{said}{percent(high, 2)}")] * 2 + [""]
    return go.Scatter(
        x=x,
        y=rows,
        mode="lines+markers",
        name="95% band of B",
        line={"color": INK, "width": 1.5},
        marker={"symbol": "line-ns", "size": 8, "line": {"width": 1.5, "color": INK}},
        hoverinfo="text",
        hovertext=texts,
        cliponaxis=False,
    )


def _target_lines(go: Any, e: pd.DataFrame, ends: tuple[Any, Any], names: Sequence[str]) -> Any:
    """One trace of short lines across the bars of B, which are what a target binds."""
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for start, end, name, kind, target in zip(*ends, names, e["kind"], e["target"], strict=True):
        if not pd.isna(target):
            x += [target, target, target, None]
            y += [start, 0.5 * (start + end), end, None]
            said = f"target in {name}: {side(kind)} {percent(target, 2)}"
            texts += [escaped(said)] * 3 + [""]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name="target b",
        line={"color": "#D55E00", "width": 3},
        hoverinfo="text",
        hovertext=texts,
        cliponaxis=False,
    )


def _interval_text(row: Any) -> str:
    """Say the interval over its kind and target, in short lines that fit a narrow page."""
    kind = str(row.kind)
    target = "free" if pd.isna(row.target) else f"{'≤' if kind == 'bad' else '≥'} "
    bound = "" if pd.isna(row.target) else percent(row.target)
    name = folded(plain_label(row.Index, 2 * LABEL), LABEL)
    return "<br>".join(escaped(line) for line in [*name, f"{kind}, {target}{bound}"])
