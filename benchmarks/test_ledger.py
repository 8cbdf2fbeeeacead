"""The large ledger in small: the three ways to its panel agree, and the generator is steady."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import ledger

INVOICES, CUSTOMERS = 20_000, 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("book") / "invoices"
    ledger.write_ledger(place, INVOICES, CUSTOMERS)
    return place


def test_the_book_is_of_the_size_asked_for_and_the_same_each_time(
    folder: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    ledger.write_ledger(again, INVOICES, CUSTOMERS)
    one, other = pq.read_table(folder), pq.read_table(again)
    assert one.num_rows == INVOICES
    assert len(one["invoice_id"].unique()) == INVOICES
    assert len(list(folder.iterdir())) == ledger.MONTHS
    assert one.equals(other)


@pytest.mark.parametrize("way", ["sql", "judged", "pandas", "floats", "judged_pandas"])
def test_the_ways_to_the_panel_agree_to_the_cent_in_every_cell(folder: Path, way: str) -> None:
    own = ledger.by_package(folder)
    assert own.costs.shape == (ledger.MONTHS, CUSTOMERS)
    assert np.isfinite(own.returns).any()
    assert ledger.difference(own, ledger.WAYS[way](folder)) < ledger.CENT


def test_a_cent_in_one_cell_is_seen(folder: Path) -> None:
    own = ledger.by_sql(folder)
    costs = own.costs.copy()
    costs[3, 7] += ledger.CENT
    assert ledger.difference(own, ledger.Panel(own.returns, costs, own.customers)) >= 0.999e-2
    with pytest.raises(SystemExit, match="same customers"):
        ledger.difference(own, ledger.Panel(own.returns, own.costs, own.customers[::-1]))
