"""The picture of what is open, by age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError
from credit_portfolio.report.plots import (
    ROW,
    customer_axis,
    escaped,
    graph_objects,
    largest,
    panels,
)
from credit_portfolio.report.words import bucket_label, percent, plain_label

if TYPE_CHECKING:
    from credit_portfolio.report.plots import Figure

AGEING_CUSTOMERS = 15
# From not due to longest overdue: light to dark, so that it also reads in black and white.
_AGES = ("#C6DBEF", "#F6D9A6", "#EDA64A", "#D55E00", "#8A2F00")


def ageing_figure(ageing: pd.DataFrame, currency: str = "") -> Figure:
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
    go = graph_objects()
    money_table = checked_ageing(ageing)
    buckets = [name for name in money_table.columns if name != "total"]
    most = money_table.loc[largest(money_table["total"], AGEING_CUSTOMERS)]
    split = len(money_table) > 1
    heights = [60, ROW * len(most)] if split else [60]
    around = 100 if split else 130
    figure = panels("Ageing of what is open", heights, between=50, around=around)
    rows = [(money_table.sum().to_frame("all").T, 1)] + ([(most, 2)] if split else [])
    for number, bucket in enumerate(buckets):
        for part, row in rows:
            figure.add_trace(
                go.Bar(
                    x=part[bucket],
                    y=list(range(len(part))),
                    orientation="h",
                    name=escaped(bucket_label(bucket)),
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
        customer_axis(figure, most.index, first_on_top=True, row=2, col=1)
    axis = escaped(f"money open, {currency}".rstrip(", "))
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
        f"<b>{escaped(plain_label(name))}</b><br>"
        + escaped(
            f"{bucket_label(bucket)}: {value:,.2f}{unit} "
            f"({percent(value / total if total else 0.0)} of {total:,.2f})"
        )
        for name, value, total in zip(part.index, part[bucket], part["total"], strict=True)
    ]
