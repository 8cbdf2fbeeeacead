"""The report: one page of HTML with tables and pictures, and the pictures one by one."""

from credit_portfolio.report.html import write_report
from credit_portfolio.report.pictures import (
    ageing_figure,
    backtest_figure,
    evaluation_figure,
    frontier_figure,
    limits_figure,
    prices_figure,
    profiles_figure,
    risk_figure,
    shares_figure,
)

__all__ = [
    "ageing_figure",
    "backtest_figure",
    "evaluation_figure",
    "frontier_figure",
    "limits_figure",
    "prices_figure",
    "profiles_figure",
    "risk_figure",
    "shares_figure",
    "write_report",
]
