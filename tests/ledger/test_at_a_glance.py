"""Parquet is judged at a glance where that is possible: with what row by row would have found."""

from __future__ import annotations

import datetime as dt
import inspect
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.errors import DataError
from credit_portfolio.ledger import engines, glance, judging, source, verdicts
from credit_portfolio.ledger.quality import RULES
from credit_portfolio.ledger.schema import MONEY
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ReturnRule

DAY = dt.date(2024, 3, 1)
GOOD = {
    "customer_id": "C1",
    "invoice_id": "I",
    "invoice_date": DAY,
    "due_date": DAY + dt.timedelta(days=30),
    "amount": Decimal("100.00"),
    "settled_date": DAY + dt.timedelta(days=40),
    "settled_amount": Decimal("90.00"),
    "written_off_amount": Decimal("10.00"),
}
ODD = [
    {},
    {"customer_id": None},
    {"customer_id": " C2"},
    {"customer_id": "C2\t"},
    {"customer_id": " "},
    {"invoice_id": ""},
    {"invoice_id": "I \n"},
    {"invoice_id": "É 7 "},
    {"invoice_date": None},
    {"due_date": DAY - dt.timedelta(days=1)},
    {"settled_date": None},
    {"settled_date": None, "settled_amount": None},
    {"settled_amount": None, "written_off_amount": None},
    {"settled_date": DAY - dt.timedelta(days=1)},
    {"invoice_date": dt.date(1901, 1, 1)},
    {"invoice_date": dt.date(2026, 1, 1), "due_date": dt.date(2026, 2, 1), "settled_date": None},
    {"amount": Decimal("-5.00")},
    {"amount": Decimal("-5.00"), "customer_id": "C9"},
    {"customer_id": "C7"},
    {"amount": None},
    {"amount": Decimal(10) ** 14},
    {"settled_amount": Decimal("95.00")},
    {"settled_amount": Decimal("-1.00")},
    {"written_off_amount": Decimal("-1.00")},
    {"currency": "USD"},
    {"invoice_id": None},
]


def rows_of(kinds: list[int], copies: list[int]) -> pd.DataFrame:
    rows = []
    for number, kind in enumerate(kinds):
        row = {"currency": "EUR"} | GOOD | {"invoice_id": f"I{number}"} | ODD[kind]
        rows.append(row)
    rows += [dict(rows[k % len(rows)]) for k in copies]
    if len(copies) > 1:
        rows[-1]["amount"] = Decimal("77.00")  # a copy that says something else
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(MONEY, object))


def write(frame: pd.DataFrame, path: Path, kind: pa.DataType) -> None:
    """Write rows with their money in a type."""
    table = pa.Table.from_pandas(frame)
    for name in MONEY:
        cells = [None if pd.isna(cell) else cell for cell in frame[name]]
        exact = pa.array(cells, pa.decimal128(18, 2))
        table = table.set_column(table.column_names.index(name), name, exact.cast(kind))
    pq.write_table(table, path)


def everything(ledger):
    q = ledger.quality
    return (
        [q.rows_read, q.rows_accepted, q.amount_read, q.amount_accepted, q.amount_rejected],
        [q.rows_without_readable_amount, q.rows_after_as_of, q.amount_after_as_of, ledger.as_of],
        q.rules.astype(str).to_dict("list"),
        q.rejected.astype(str).to_dict("list"),
        q.findings.astype(str).to_dict("list"),
        q.control_totals.astype(str).to_dict("list"),
        [ledger.n_invoices, ledger.n_open, ledger.n_customers],
        ledger.to_frame().astype(str).to_dict("list"),
        panel_of(ledger),
    )


def panel_of(ledger):
    """Return the cells of the panel, or why there is none."""
    rule = ReturnRule(0.25, 0.08)
    try:
        panel = ReturnPanel.from_ledger(ledger, rule, "month", maturity_days=0, min_periods=2)
    except DataError as error:
        return str(error)
    # Floats are added in another order, to the last digits of figures of at most some hundreds.
    figures = [np.nan_to_num(table).round(9).tolist() for table in (panel.values, panel.costs)]
    return [panel.customers.tolist(), [str(period) for period in panel.periods], *figures]


@pytest.mark.parametrize("kind", [pa.decimal128(18, 2), pa.decimal128(25, 2), pa.float64()])
@pytest.mark.parametrize("as_of", [None, "2024-03-31"])
@settings(max_examples=4, deadline=None)
@given(
    st.lists(st.sampled_from(range(len(ODD))), min_size=1, max_size=8),
    st.lists(st.integers(0, 20), max_size=3),
)
def test_a_glance_finds_what_row_by_row_finds(tmp_path_factory, as_of, kind, kinds, copies):
    path = tmp_path_factory.mktemp("glance") / "book.parquet"
    write(rows_of([0, *kinds], copies), path, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "today", lambda: dt.date(2025, 1, 1))
        quick = everything(open_ledger(path, as_of=as_of, currency="EUR"))
        patch.setattr(verdicts, "at_a_glance", lambda *args: None)
        slow = everything(open_ledger(path, as_of=as_of, currency="EUR"))
    assert quick == slow


FORMS = {
    "too many decimals": pa.array([Decimal("0.000001"), Decimal(50)], pa.decimal128(18, 6)),
    "infinite": pa.array([float("inf"), 50.0]),
    "not a number": pa.array([float("nan"), 50.0]),
    "rounded": pa.array([0.123456, 50.0]),
    "whole and too large": pa.array([10**15, 50]),
    "wide and too large": pa.array([Decimal(10) ** 20, Decimal(50)], pa.decimal128(38, 2)),
    "exact and too large": pa.array([Decimal(10) ** 15, Decimal(50)], pa.decimal128(18, 2)),
    "wide and negative": pa.array([Decimal(-1), Decimal(50)], pa.decimal128(38, 2)),
    "a word": pa.array(["uncollectable", "50.00"]),
    "empty text": pa.array(["", "50.00"]),
    "small": pa.array([Decimal("0.5"), Decimal(50)], pa.decimal128(4, 1)),
    "unsigned": pa.array([7, 50], pa.uint8()),
    "nothing": pa.array([None, None], pa.decimal128(18, 2)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MONEY)
def test_a_figure_of_any_form_is_judged_as_row_by_row(tmp_path, name, form):
    path = tmp_path / "book.parquet"
    table = pa.Table.from_pandas(rows_of([0, 0], [])).drop_columns(["currency"])
    table = table.set_column(table.column_names.index(name), name, FORMS[form])
    pq.write_table(table, path)
    asked = {
        "as_of": "2024-05-01",
        "decimal": "." if pa.types.is_string(FORMS[form].type) else None,
    }

    def opened():
        try:
            return everything(open_ledger(path, **asked))
        except DataError as error:  # where no row is left
            return str(error)

    quick = opened()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdicts, "at_a_glance", lambda *args: None)
        assert quick == opened()


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
@pytest.mark.parametrize("name", MONEY)
@pytest.mark.parametrize("rows", [2, 3_000])
def test_what_is_no_number_among_floats_is_blank(tmp_path, name, kind, rows):
    """DuckDB believes the statistics of a file, which do not count it."""
    path = tmp_path / "book.parquet"
    table = pa.Table.from_pandas(rows_of([0], [])).drop_columns(["currency"])
    table = pa.concat_tables([table] * rows)
    ids = pa.array([f"I{n}" for n in range(rows)])
    table = table.set_column(table.column_names.index("invoice_id"), "invoice_id", ids)
    figures = table[name].to_pylist()[1:]
    cells = pa.array([float("nan"), *map(float, figures)], kind)
    pq.write_table(table.set_column(table.column_names.index(name), name, cells), path)
    quick = open_ledger(path, as_of="2024-05-01")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdicts, "at_a_glance", lambda *args: None)
        slow = open_ledger(path, as_of="2024-05-01")
    whole = {"amount": (1, "amount_not_a_number"), "settled_amount": (0, ""), MONEY[2]: (0, "")}
    rejected, rule = whole[name]
    for ledger in (quick, slow):
        assert ledger.quality.rows_rejected == rejected
        assert set(ledger.quality.rejected["rule"]) == {rule} - {""}
        totals = ledger.quality.control_totals["money"]
        lost = 10 * (rows - rejected - (name == MONEY[2]))
        assert totals["written_off"] == lost
        expected = 90 * (rows - rejected) if name != MONEY[2] else 90 * rows
        assert totals["collected"] == expected
        assert panel_of(ledger)[0] == ["C1"]
    first = GOOD["invoice_date"]
    assert quick.on(first).exposure().equals(slow.on(first).exposure())


def test_clean_rows_are_never_asked_for_their_rule(tmp_path, monkeypatch):
    path = tmp_path / "book.parquet"
    rows_of([0, 0, 0], []).to_parquet(path)
    monkeypatch.setattr(verdicts, "one_by_one", lambda *args: pytest.fail("row by row"))
    assert open_ledger(path, currency="EUR").n_invoices == 3


@pytest.mark.parametrize("rows", [2, 4])
def test_rows_that_come_or_go_while_the_source_is_read_are_noticed(tmp_path, monkeypatch, rows):
    path = tmp_path / "book.parquet"
    rows_of([0, 0, 0], []).to_parquet(path)
    batches = engines.batches

    def changed(table):
        rows_of([0] * rows, []).to_parquet(path)
        return batches(table)

    monkeypatch.setattr(engines, "batches", changed)
    monkeypatch.setattr(engines, "refuse_changed", lambda engine: None)  # as within one question
    with pytest.raises(DataError, match="had 3 rows when it was opened, and another number"):
        open_ledger(path, as_of="2024-05-01", currency="EUR")


def test_more_rows_than_fit_are_grouped_by_the_engine(tmp_path, monkeypatch):
    path = tmp_path / "book.parquet"
    rows_of([0, 0, 0], [1]).to_parquet(path)
    monkeypatch.setattr(engines, "MOST_SORTED", 2)
    ledger = open_ledger(path, as_of="2024-05-01", currency="EUR")
    assert ledger.quality.rows_rejected == 1


def test_many_copies_are_looked_up_and_change_nothing(tmp_path, monkeypatch):
    path = tmp_path / "book.parquet"
    rows_of([0] * 40, list(range(0, 40, 2))).to_parquet(path)
    kept = everything(open_ledger(path, as_of="2024-05-01", currency="EUR"))
    monkeypatch.setattr(judging, "FEW_LISTED", 100)
    listed = everything(open_ledger(path, as_of="2024-05-01", currency="EUR"))
    assert kept == listed
    assert kept[0][0] == 60


def test_rows_without_an_id_are_rejected_and_no_copies_of_each_other(tmp_path, monkeypatch):
    path = tmp_path / "book.parquet"
    rows_of([0, ODD.index({"invoice_id": None})] * 2, []).to_parquet(path)
    monkeypatch.setattr(verdicts, "one_by_one", lambda *args: pytest.fail("row by row"))
    monkeypatch.setattr(judging, "_several", lambda *args: pytest.fail("copies looked up"))
    ledger = open_ledger(path, currency="EUR")
    assert ledger.quality.rejected["rule"].tolist() == ["missing_invoice_id"] * 2
    assert ledger.n_invoices == 2


LOOSE = [{"invoice_id": "I1 "}, {"customer_id": "\tC1"}, {"customer_id": " ", "invoice_id": "7"}]


@pytest.mark.parametrize("odd", LOOSE)
def test_ids_with_space_around_them_are_cut_and_judged_at_a_glance(tmp_path, monkeypatch, odd):
    path = tmp_path / "book.parquet"
    frame = rows_of([0, 0, 0], [])
    for name, text in odd.items():
        frame.loc[1, name] = text
    frame.to_parquet(path)
    monkeypatch.setattr(verdicts, "one_by_one", lambda *args: pytest.fail("row by row"))
    ledger = open_ledger(path, currency="EUR")
    blank = odd.get("customer_id") == " "
    assert ledger.quality.rejected["rule"].tolist() == ["missing_customer_id"] * blank
    told = ledger.quality.findings.set_index("finding")["rows"].to_dict()
    assert told == ({} if blank else {"trimmed_ids": 1})
    assert ledger.exposure().index.tolist() == ["C1"]
    kept = ["I0", "I2"] if blank else ["I0", "I1", "I2"]
    assert sorted(ledger.to_frame()["invoice_id"]) == kept


def test_customers_of_whom_every_row_is_rejected_have_no_column(tmp_path, monkeypatch):
    path = tmp_path / "book.parquet"
    frame = pd.concat([rows_of([0] * 6, [])] * 2, ignore_index=True)  # each invoice twice
    frame["customer_id"] = ["A", "B", "C", "D", None, "F"] * 2
    frame.loc[[0, 6], "amount"] = Decimal("-1.00")  # both of A's
    frame.loc[1, "due_date"] = None  # one of B's
    frame.loc[2, "settled_amount"] = Decimal("5.00")  # C's two say different things
    frame.to_parquet(path)
    monkeypatch.setattr(verdicts, "one_by_one", lambda *args: pytest.fail("row by row"))
    ledger = open_ledger(path, currency="EUR")
    assert sorted(ledger.quality.rejected["rule"]) == (
        ["amount_not_positive"] * 2
        + ["conflicting_copies"] * 2
        + ["identical_copy"] * 2
        + ["missing_customer_id"] * 2
        + ["unreadable_due_date"]
    )
    assert ledger.n_customers == 3
    rule = ReturnRule(0.25, 0.08)
    panel = ReturnPanel.from_ledger(ledger, rule, "month", maturity_days=0, min_periods=2)
    assert panel.customers.tolist() == ["B", "D", "F"]


def test_rows_in_two_currencies_are_refused_with_the_money_of_each(tmp_path):
    path = tmp_path / "book.parquet"
    rows_of([0, 0, ODD.index({"currency": "USD"})], []).to_parquet(path)
    with pytest.raises(DataError, match=r"EUR 2 rows 200.00; USD 1 rows 100.00"):
        open_ledger(path, as_of="2024-05-01")


def test_every_rule_is_one_that_a_glance_suspects_or_that_is_found_elsewhere():
    """A rule that nobody suspects would never be asked of clean Parquet."""
    text = inspect.getsource(glance)
    elsewhere = {"malformed_row", "missing_customer_id", "identical_copy", "conflicting_copies"}
    named = {rule.name for rule in RULES if f'"{rule.name}"' in text}
    assert named == {rule.name for rule in RULES} - elsewhere


def test_a_glance_counts_what_a_summary_counts(tmp_path):
    path = tmp_path / "book.parquet"
    asked = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("sums_of", "summary"):
            counted = getattr(verdicts, name)

            def kept(*args, counted=counted, name=name):
                asked[name] = counted(*args)
                return asked[name]

            patch.setattr(verdicts, name, kept)
        rows_of([0, 0], []).drop(columns="currency").to_parquet(path)
        open_ledger(path, as_of="2024-05-01")
        patch.setattr(verdicts, "at_a_glance", lambda *args: None)
        open_ledger(path, as_of="2024-05-01")
    slow, quick = asked["summary"], asked["sums_of"]
    counts = {name for name in slow.table if name.endswith("_rows")}
    seen = {name for name in quick.table if name.endswith("_rows")}
    assert seen <= counts
    assert slow.day == quick.day
