"""Runs from files to a folder of results, as the command line and nightly batches do them."""

from credit_portfolio.job.allocating import allocate, rejected_statements
from credit_portfolio.job.inputs import LIMIT_MONEY, limit_style, rate, read_ledger, read_sheets
from credit_portfolio.job.record import (
    Record,
    fingerprint,
    is_interrupt,
    make_folder,
    results_folder,
    write_rejected,
)
from credit_portfolio.job.studies import backtest, frontier

__all__ = [
    "LIMIT_MONEY",
    "Record",
    "allocate",
    "backtest",
    "fingerprint",
    "frontier",
    "is_interrupt",
    "limit_style",
    "make_folder",
    "rate",
    "read_ledger",
    "read_sheets",
    "rejected_statements",
    "results_folder",
    "write_rejected",
]
