"""What a reader is told of a frontier and of a backtest: facts, sentences and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.report.tables import Cell, Table
from credit_portfolio.report.words import (
    DASH,
    figures,
    number,
    percent,
    percent_figures,
    plain_label,
    plural,
    rows_of,
)

if TYPE_CHECKING:
    from credit_portfolio.backtesting import Backtest
    from credit_portfolio.frontiers import Frontier

_MODEL, _TODAY, _EQUAL = "model", "current shares", "equal"

# ------------------------------------------------------------------------------- the frontier


def checked_frontier(given: Any) -> Frontier:
    """Return a frontier, or say that it is none.

    Raises
    ------
    TypeError
        For anything else.
    """
    if not all(hasattr(given, name) for name in ("over", "points", "references", "notes")):
        raise TypeError(
            f"frontier is a {type(given).__name__}; give what credit_portfolio.frontier returns"
        )
    found: Frontier = given
    return found


def swept_name(frontier: Frontier) -> str:
    """Return what was swept, in the analyst's words."""
    if not frontier.over.startswith("target:"):
        return frontier.over.replace("_", " ")
    column = _degree(frontier) or frontier.over.removeprefix("target:")
    if column.startswith("B "):
        return f"credit in {plain_label(column.removeprefix('B '))}"
    return plain_label(column.removeprefix("row "))


def swept_phrase(frontier: Frontier, value: float, currency: str = "") -> str:
    """Return a value of what was swept, with its name: money for a budget, else a percentage."""
    name = swept_name(frontier)
    if frontier.over == "budget":
        if not frontier.points["standard_deviation_money"].notna().any():
            return f"{figures(value)} × the budget"
        return f"a budget of {number(value)} {currency}".rstrip()
    if name.startswith("credit in "):
        return f"{percent(value, 2)} of the {name}"
    article = "an " if name == "expected return" else ""
    return f"{article}{name} of {percent(value, 2)}"


def reference_places(frontier: Frontier) -> pd.Series[float]:
    """Where the usual portfolios stand on the axis of what was swept; NaN where not known."""
    table = frontier.references
    if frontier.over == "expected_return":
        return table["mean_return"].astype(float)
    if frontier.over == "budget":
        # Money of standard deviation over that of the return is the budget; a program has none.
        budget = table["standard_deviation_money"] / table["standard_deviation"]
        return budget if budget.notna().any() else pd.Series(1.0, index=table.index)
    column = _degree(frontier)
    if column is None:
        return pd.Series(np.nan, index=table.index)
    return table[column].astype(float)


def keeps_conditions(frontier: Frontier) -> pd.Series[bool]:
    """Which of the usual portfolios meet all targets and limits."""
    table = frontier.references
    return table["meets_targets"].astype(bool) & table["meets_limits"].astype(bool)


def _degree(frontier: Frontier) -> str | None:
    """Return the column of the degree that was swept: by the interval's or row's name or number."""
    asked = frontier.over.removeprefix("target:")
    columns = list(frontier.references.columns)
    for name in (f"B {asked}", f"row {asked}", f"row target {asked}"):
        if name in columns:
            return name
    intervals = [name for name in columns if str(name).startswith("B ")]
    return intervals[int(asked)] if asked.isdecimal() and int(asked) < len(intervals) else None


def frontier_words(frontier: Frontier, currency: str = "") -> str:
    """Say what the picture of a frontier shows, and where today's book stands."""
    solved = frontier.points[frontier.points["status"] == "optimal"]
    if solved.empty:
        return "None of the values that were asked for can be had."

    def told(row: Any) -> str:
        return (
            f"{percent_figures(row['standard_deviation'])}, with "
            f"{swept_phrase(frontier, row['value'], currency)} and "
            f"{plural(int(row['n_with_credit']), 'customer')} holding the credit"
        )

    risk = solved["standard_deviation"].to_numpy(dtype=np.float64)
    low, high = solved.iloc[int(risk.argmin())], solved.iloc[int(risk.argmax())]
    text = f"The standard deviation goes from {told(low)}, to {told(high)}."
    text += _today_words(frontier, solved)
    if not keeps_conditions(frontier).all():
        text += " Open marks break a target or a limit, so they may lie below the line."
    return text


def _today_words(frontier: Frontier, solved: pd.DataFrame) -> str:
    name = "current book"
    if name not in frontier.references.index or frontier.over == "budget":
        return ""
    place = float(reference_places(frontier)[name])
    values = solved["value"].to_numpy(dtype=np.float64)
    now = float(frontier.references["standard_deviation"][name])
    text = f" Today's book stands at {percent_figures(now)}"
    if not values[0] <= place <= values[-1]:
        best = float(frontier.references["standard_deviation"]["optimum"])
        where = swept_phrase(frontier, place)
        return f"{text} with {where}, beside the line; the optimum is at {percent_figures(best)}."
    # Between two points the line lies above what can be had: variances are convex in the bound.
    there = float(np.interp(place, values, solved["standard_deviation"]))
    return f"{text}; where it stands, the line is at {percent_figures(there)}."


def frontier_table(frontier: Frontier) -> Table:
    """Return the usual portfolios, with the conditions that they break."""
    table = frontier.references
    rows = [
        (
            Cell(str(row["portfolio"])),
            _figures_cell(row["standard_deviation"]),
            _percent(row["mean_return"]),
            Cell(f"{int(row['n_with_credit']):,}", float(row["n_with_credit"])),
            Cell(number(row["effective_customers"], 1), float(row["effective_customers"])),
            _broken(bool(row["meets_targets"]), row["target_excess"]),
            _broken(bool(row["meets_limits"]), row["over_limit"]),
        )
        for row in table.rename_axis("portfolio").reset_index().to_dict("records")
    ]
    return Table(
        "frontier-table",
        "The usual ways to share out the credit, and by how much each is outside a target or above "
        "limits, as parts of the credit.",
        (
            ("Portfolio", "text"),
            ("Standard deviation", "number"),
            ("Mean return", "number"),
            ("Customers with credit", "number"),
            ("Effective customers", "number"),
            ("Outside a target by", "number"),
            ("Above limits", "number"),
        ),
        tuple(rows),
    )


def _broken(kept: bool, by: float) -> Cell:
    return Cell("0", 0.0) if kept else Cell(percent_figures(by), float(by), warns=True)


# ------------------------------------------------------------------------------- the backtest


def checked_backtest(given: Any) -> Backtest:
    """Return a backtest, or say that it is none.

    Raises
    ------
    TypeError
        For anything else.
    """
    if not all(hasattr(given, name) for name in ("days", "summary", "winners", "notes")):
        raise TypeError(
            f"backtest is a {type(given).__name__}; give what credit_portfolio.backtest returns"
        )
    found: Backtest = given
    return found


def yardstick(backtest: Backtest) -> str:
    """Return the policy that leads are measured from: today's shares where known on all days."""
    held = backtest.days[backtest.days["portfolio"] == _TODAY]
    whole = len(held) == backtest.days["day"].nunique() and held["return"].notna().all()
    return _TODAY if whole else _EQUAL


def lead(backtest: Backtest) -> pd.DataFrame | None:
    """Return each policy's return less the yardstick's, added up: one row per day.

    None for a single day, and where the horizons of the days overlap: the same sales would count
    more than once.
    """
    days = backtest.days.drop_duplicates("day").sort_values("day")
    first, last = days["first_period"].tolist(), days["last_period"].tolist()
    apart = all(start > end for start, end in zip(first[1:], last, strict=False))
    if len(days) < 2 or not apart:
        return None
    wide = backtest.days.pivot(index="day", columns="portfolio", values="return")
    wide = wide[list(backtest.summary.index)]
    return wide.sub(wide[yardstick(backtest)], axis=0).cumsum()


def backtest_words(backtest: Backtest) -> str:
    """Say what the picture of a backtest shows; its last sentence names the winners."""
    days = backtest.days
    count = days["day"].nunique()
    text = (
        f"On each of {plural(count, 'day')}, {days['day'].min()} to {days['day'].max()}, the "
        "shares were made from what was known then, and earned on the sales that followed."
    )
    if count > 1 and lead(backtest) is None:
        text += " The horizons of the days overlap, so that returns are not added up."
    return f"{text} {backtest.winners()}"


def backtest_table(backtest: Backtest) -> Table:
    """Return each policy's figures, and what the model was ahead by."""
    rows = []
    for row in rows_of(backtest.summary):
        rows.append(
            (
                Cell(str(row.Index)),
                _percent(row.mean_return),
                _percent(row.standard_deviation),
                Cell(_worst(row), _number(row.worst_return)),
                _percent(row.bad_share),
                _percent(row.bad_debt),
                _percent(row.turnover, 1),
                _percent(row.traded, 1),
                _percent(row.over_limit, 1),
                Cell(_ahead(row), _number(row.difference)),
            )
        )
    return Table(
        "backtest-table",
        f"Means over {plural(int(backtest.summary['days'].max()), 'day')}. The model is ahead of "
        "a policy where the last column is above zero by clearly more than its standard error, "
        "which takes the days as independent.",
        (
            ("Policy", "text"),
            ("Mean return", "number"),
            ("Standard deviation", "number"),
            ("Worst day", "number"),
            ("In bad intervals", "number"),
            ("Bad debt", "number"),
            ("Turnover", "number"),
            ("Credit with sales", "number"),
            ("Above limits", "number"),
            ("Model ahead by", "number"),
        ),
        tuple(rows),
    )


def _worst(row: Any) -> str:
    text = percent(row.worst_return, 2)
    return text if text == DASH else f"{text} ({row.worst_day})"


def _ahead(row: Any) -> str:
    if row.Index == _MODEL or pd.isna(row.difference):
        return DASH
    return f"{percent(row.difference, 3)} ± {percent(row.difference_error, 3)}"


def _percent(value: float, places: int = 2) -> Cell:
    return Cell(percent(value, places), _number(value))


def _figures_cell(value: float) -> Cell:
    return Cell(percent_figures(value), _number(value))


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
