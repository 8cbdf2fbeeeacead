"""Builders of small ledgers."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

SOUND = {
    "customer_id": "C1",
    "invoice_id": "1",
    "invoice_date": "2024-01-10",
    "due_date": "2024-02-09",
    "amount": "100.00",
    "currency": "EUR",
    "settled_date": "",
    "settled_amount": "",
    "written_off_amount": "",
    "disputed": "",
    "region": "north",
}


TODAY = datetime.date(2025, 6, 30)


@pytest.fixture(autouse=True)
def fixed_today(monkeypatch: pytest.MonkeyPatch) -> datetime.date:
    """Every ledger of these tests is opened on one day, whatever the machine's clock says."""
    monkeypatch.setattr("credit_portfolio.ledger.source.today", lambda: TODAY)
    return TODAY


@pytest.fixture
def book() -> Callable[..., pd.DataFrame]:
    """Return a maker of frames of text: each row is a sound invoice but for what is given."""

    def make(*rows: dict[str, object]) -> pd.DataFrame:
        filled = [SOUND | {"invoice_id": str(i)} | row for i, row in enumerate(rows, start=1)]
        return pd.DataFrame(filled, columns=list(SOUND))

    return make


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of files from text."""

    def write(text: str, name: str = "book.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write
