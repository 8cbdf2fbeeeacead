"""Files of one folder whose columns do not agree: told or refused, and no value lost in silence."""

from __future__ import annotations

import datetime
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

import credit_portfolio as cp
from credit_portfolio.errors import DataError
from credit_portfolio.ledger.entries import ENTRY_RULE
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.source import open_ledger

PLAIN = {
    "customer_id": ["C1"],
    "invoice_id": ["1"],
    "invoice_date": [datetime.date(2024, 1, 10)],
    "due_date": [datetime.date(2024, 2, 9)],
    "amount": pa.array([Decimal("100.00")], pa.decimal128(18, 2)),
    "settled_date": [datetime.date(2024, 2, 1)],
}
ENTRIES = {
    "customer_id": ["C1", "C1"],
    "document": ["I1", "P1"],
    "against_document": ["", "I1"],
    "kind": ["invoice", "payment"],
    "booking_date": ["2024-01-02", "2024-01-20"],
    "due_date": ["2024-02-01", ""],
    "amount": [100.0, -60.0],
}


@pytest.fixture
def folder(tmp_path):
    """Return a writer of one file a call, 1.parquet, 2.parquet, …, into one folder."""
    written = []

    def write(like=PLAIN, name=None, *, rename=None, drop=(), **changed):
        written.append(name or f"{len(written) + 1}.parquet")
        own = {"invoice_id": [str(len(written))]} if like is PLAIN else {}
        columns = {k: v for k, v in (like | own | changed).items() if k not in drop}
        path = tmp_path / written[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({(rename or {}).get(k, k): v for k, v in columns.items()}), path)
        return tmp_path

    return write


def notes_of(ledger):
    return " | ".join(ledger.quality.notes)


# --- columns that some files lack ---------------------------------------------------------------


def test_a_file_without_a_required_column_is_named_with_what_it_has_instead(folder):
    folder()
    folder(rename={"due_date": "due_dat"})
    path = folder(rename={"due_date": "due_dat"})
    with pytest.raises(DataError) as caught:
        open_ledger(path)
    told = str(caught.value)
    assert "2.parquet' and 1 more have no column 'due_date'; found 'due_dat' besides" in told
    assert "1.parquet' has it" in told
    assert told.endswith("Did you mean 'due_dat'?")


def test_a_required_column_under_the_name_of_a_profile_is_told_with_its_meaning(folder):
    names = {"amount": "BETRAG"}
    folder(rename=names)
    path = folder()
    with pytest.raises(DataError, match=r"2.parquet' has no column 'BETRAG' \(for amount\)"):
        open_ledger(path, profile=names)


def test_a_column_that_no_file_has_is_told_as_of_one_source(folder):
    folder(drop=("amount",))
    path = folder(drop=("amount",))
    with pytest.raises(DataError, match=r"^folder .* has no column 'amount'"):
        open_ledger(path)


@pytest.mark.parametrize("wrong", ["setled_date", "settle_date", "SettledDate"])
def test_an_optional_column_that_is_misspelt_in_one_file_is_an_error(folder, wrong):
    folder()
    path = folder(rename={"settled_date": wrong})
    with pytest.raises(DataError) as caught:
        open_ledger(path)
    told = str(caught.value)
    assert f"2.parquet' has a column {wrong!r} and none called 'settled_date'" in told
    assert "blank in 1 rows" in told


def test_a_column_beside_the_one_it_resembles_is_no_misspelling(folder):
    folder(disputed=[True], disputed_by=["A"])
    ledger = open_ledger(folder(disputed_by=["B"]))
    assert "disputed is in 1 of 2 files: the 1 rows of the others count as not" in notes_of(ledger)
    assert ledger.groups == ("disputed_by",)


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("settled_date", [datetime.date(2024, 2, 1)], "count as open"),
        ("settled_amount", [Decimal("90.00")], "count as settled in full where they have a"),
        ("written_off_amount", [Decimal("1.00")], "count as not written off"),
        ("disputed", [True], "count as not disputed"),
        ("region", ["north"], "have it blank"),
    ],
)
def test_an_optional_column_of_some_files_is_a_note_with_its_meaning(folder, name, value, meaning):
    folder(**{name: value})
    folder(drop=(name,))
    ledger = open_ledger(folder(drop=(name,)), as_of="2024-06-30")
    found = f"is in 1 of 3 files: the 2 rows of the others {meaning}"
    assert found in notes_of(ledger)
    assert "('2.parquet', '3.parquet')" in notes_of(ledger)


def test_rows_without_a_settled_date_are_told_and_open(folder):
    folder()
    ledger = open_ledger(folder(drop=("settled_date",)), as_of="2024-06-30")
    assert ledger.exposure().to_dict() == {"C1": 100.0}
    assert "settled_date is in 1 of 2 files: the 1 rows of the others count as open" in notes_of(
        ledger
    )


def test_a_currency_that_a_file_does_not_say_is_told_or_refused(folder):
    folder(currency=["EUR"])
    path = folder()
    with pytest.raises(DataError, match="holds 2 currencies"):
        open_ledger(path)
    ledger = open_ledger(path, currency="EUR")
    assert "currency is in 1 of 2 files: the 1 rows of the others say no currency" in notes_of(
        ledger
    )


def test_a_note_names_three_files_and_counts_the_others(folder):
    folder(region=["north"], industry=["steel"])
    for month in range(5):
        path = folder(name=f"2024/{month}.parquet")
    said = notes_of(open_ledger(path))
    assert "columns 'region', 'industry' are in 1 of 6 files: the 5 rows of the others have" in said
    assert "('2024/0.parquet', '2024/1.parquet', '2024/2.parquet' and 2 more)" in said


def test_files_that_agree_give_no_note(folder):
    folder()
    assert open_ledger(folder()).quality.notes == (
        "Parquet, 2 files",
        "no column for written_off_amount ('written_off_amount' is not in the source): nothing "
        "counts as written off",
    )


def test_a_file_without_rows_lacks_nothing(folder):
    folder()
    empty = {name: [] for name in ("customer_id", "note")}
    ledger = open_ledger(folder(like=empty, name="empty.parquet"))
    assert ledger.n_invoices == 1
    assert "of 2 files" not in notes_of(ledger)


@pytest.mark.parametrize(
    "empty",
    [
        {"amount": pa.array([], pa.float64())},
        {"amount": pa.array([], pa.float32())},
        {"amount": pa.array([], pa.string()), "customer_id": pa.array([], pa.float64())},
        {"settled_date": pa.array([], pa.string()), "region": pa.array([], pa.list_(pa.int8()))},
        {"rename": {"settled_date": "setled_date", "amount": "AMOUNT "}},
        {"name": "0/currency=USD/a.parquet"},
    ],
)
def test_a_file_without_rows_agrees_with_everything(folder, empty):
    exact = pa.array([Decimal("123456789012.34")], pa.decimal128(18, 2))
    none = {name: pa.array([], pa.string()) for name in PLAIN}
    folder(like=none, **empty)
    for region in ("north", "south"):
        path = folder(amount=exact, customer_id=[2**53 + 1], region=[region])
    ledger = open_ledger(path, as_of="2024-01-31")
    assert ledger.exposure().to_dict() == {str(2**53 + 1): 246913578024.68}
    assert ledger.quality.amount_accepted == 2 * exact[0].as_py()
    assert sorted(ledger.to_frame()["region"]) == ["north", "south"]
    assert "column" not in notes_of(ledger).replace("no column for written_off_amount", "")


def test_rows_are_told_in_their_file_beside_files_without_rows(folder):
    none = {name: pa.array([], pa.string()) for name in PLAIN}
    folder(like=none)
    path = folder(invoice_id=["1", "2"], **{
        name: [value[0].as_py() if name == "amount" else value[0]] * 2
        for name, value in PLAIN.items() if name not in ("invoice_id", "due_date")
    }, due_date=[PLAIN["due_date"][0], None])  # fmt: skip
    rejected = open_ledger(path).quality.rejected
    assert rejected[["file", "row"]].to_numpy().tolist() == [[str(path / "2.parquet"), 2]]


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["settled_date", "Settled_Date"])
def test_capitals_do_not_count_in_any_order_of_the_files(folder, first):
    second = {"settled_date": "Settled_Date", "Settled_Date": "settled_date"}[first]
    folder(rename={"settled_date": first})
    ledger = open_ledger(folder(rename={"settled_date": second}), as_of="2024-06-30")
    assert ledger.exposure().to_dict() == {"C1": 0.0}
    assert ledger.to_frame()["settled_date"].notna().all()


@pytest.mark.parametrize(("one", "two"), [("paid on", "paid  on"), ("BEZAHLT Ä", "bezahlt ä")])
def test_spellings_that_the_engine_keeps_apart_are_an_error(folder, one, two):
    folder(rename={"settled_date": one})
    path = folder(rename={"settled_date": two})
    with pytest.raises(DataError) as caught:
        open_ledger(path, profile={"settled_date": one})
    told = str(caught.value)
    assert f"1.parquet' has a column {one!r}" in told
    assert f"2.parquet' one called {two!r}" in told


def test_two_columns_of_one_name_in_one_file_are_an_error(folder):
    folder()
    path = folder(region=["north"], REGION=["south"])
    with pytest.raises(DataError, match=r"2.parquet' has the column 'region' 2 times"):
        open_ledger(path)


def test_a_column_may_be_called_as_the_engine_calls_the_file(folder):
    path = folder(filename=["scan 1"])
    assert open_ledger(path / "1.parquet").groups == ("filename",)
    folder(filename=["scan 2"], amount=pa.array([Decimal("0.00")], pa.decimal128(18, 2)))
    ledger = open_ledger(path)
    assert ledger.to_frame()["filename"].tolist() == ["scan 1"]
    rejected = ledger.quality.rejected
    assert rejected["filename"].tolist() == ["scan 2"]
    assert rejected["file"].tolist() == [str(path / "2.parquet")]


def test_a_column_called_as_the_engine_counts_rows_is_refused_for_that_reason(folder):
    path = folder(File_Row_Number=[1])
    for source in (path, path / "1.parquet"):
        with pytest.raises(DataError, match=r"under which DuckDB counts the rows.*rename the"):
            open_ledger(source)


# --- types --------------------------------------------------------------------------------------

DAY = datetime.date(2024, 2, 1)
NOON = datetime.datetime(2024, 2, 1, 12)
REFUSED = [
    ("customer_id", [7], ["007"], "int64", "string", "two ids"),
    ("invoice_id", ["007"], [7], "string", "int64", "two ids"),
    ("customer_id", [7], [7.0], "int64", "double", "two ids"),
    ("customer_id", [7], pa.nulls(1, pa.float64()), "int64", "double", "two ids"),
    ("invoice_date", [DAY], ["01.02.2024"], "date32", "string", "write it as dates"),
    ("due_date", ["2024-02-01"], [NOON], "string", "timestamp", "write it as dates"),
    ("settled_date", [DAY], [20240201], "date32", "int64", "write it as dates"),
    ("amount", ["1.234,50"], [Decimal("7.00")], "string", "decimal128", "write it as numbers"),
    ("amount", [7.0], ["7"], "double", "string", "write it as numbers"),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("name", "one", "two", "type_one", "type_two", "why"), REFUSED)
def test_types_that_do_not_go_together_are_refused(
    folder, name, one, two, type_one, type_two, why, turned
):
    if turned:
        one, two, type_one, type_two = two, one, type_two, type_one
    folder(**{name: one})
    path = folder(**{name: two})
    with pytest.raises(DataError) as caught:
        open_ledger(path)
    told = str(caught.value)
    assert f"column {name!r} is " in told
    assert f"{type_one}" in told
    assert f"{type_two}" in told
    assert "1.parquet" in told
    assert "2.parquet" in told
    assert why in told


def test_ids_of_whole_numbers_may_be_of_several_widths(folder):
    folder(customer_id=pa.array([7], pa.int32()), invoice_id=pa.array([2**63 + 5], pa.uint64()))
    path = folder(customer_id=pa.array([7], pa.int64()), invoice_id=[-1])
    ledger = open_ledger(path)
    assert ledger.to_frame()["invoice_id"].tolist() == ["-1", str(2**63 + 5)]
    assert ledger.n_customers == 1


def test_text_and_bytes_that_nobody_marked_as_text_are_one(folder):
    folder(customer_id=["Ä"], region=["Süd"])
    path = folder(customer_id=["Ä".encode()], region=["Süd".encode()])
    ledger = open_ledger(path)
    assert ledger.to_frame()["region"].tolist() == ["Süd", "Süd"]
    assert ledger.n_customers == 1


def test_days_and_times_of_day_go_together_with_a_note(folder):
    folder(settled_date=[NOON])
    ledger = open_ledger(folder(), as_of="2024-06-30")
    assert ledger.exposure().to_dict() == {"C1": 0.0}
    assert "column 'settled_date' is timestamp[us] in file" in notes_of(ledger)
    assert "time_of_day_dropped" in set(ledger.quality.findings["finding"])


@pytest.mark.parametrize(
    "blank", [pa.nulls(1), pa.nulls(1, pa.float64()), pa.nulls(1, pa.string())]
)
@pytest.mark.parametrize("name", ["settled_date", "region"])
def test_a_column_without_a_value_is_of_no_other_type(folder, name, blank):
    """Pandas writes a column of nothing as one of floats."""
    folder(**{name: blank})
    told = {"settled_date": [DAY], "region": ["north"]}
    if pa.types.is_string(blank.type) and name == "settled_date":
        path = folder(**{name: told[name]})
        with pytest.raises(DataError, match="write it as dates"):
            open_ledger(path)
        return
    ledger = open_ledger(folder(**{name: told[name]}), as_of="2024-06-30")
    assert "is double" not in notes_of(ledger)
    assert ledger.n_invoices == 2
    assert ledger.to_frame()[name].notna().sum() == 1


MONEY = st.integers(1, 10**11 * 10**4 - 1).map(lambda units: Decimal(units) / 10**4)


@settings(max_examples=8)
@given(st.lists(MONEY, min_size=1, max_size=20), st.lists(MONEY, min_size=1, max_size=20))
def test_exact_money_beside_floats_is_right_to_four_decimals(tmp_path_factory, one, two):
    path = tmp_path_factory.mktemp("mixed")
    for name, kind, money in (("a", pa.decimal128(18, 4), one), ("b", pa.float64(), two)):
        rows = {key: [cell[0].as_py() if key == "amount" else cell[0]] * len(money)
                for key, cell in PLAIN.items()}  # fmt: skip
        rows["invoice_id"] = [f"{name}{k}" for k in range(len(money))]
        rows["amount"] = pa.array([cell if name == "a" else float(cell) for cell in money], kind)
        pq.write_table(pa.table(rows), path / f"{name}.parquet")
    ledger = open_ledger(path)
    assert sorted(ledger.to_frame()["amount"]) == sorted([*one, *two])
    assert ledger.quality.amount_accepted == sum(one) + sum(two)
    assert "column 'amount' is decimal128(18, 4) in file" in notes_of(ledger)
    assert ": read as float64" in notes_of(ledger)


@pytest.mark.parametrize("exact", [Decimal("123456789012.34"), 123456789012])
def test_exact_money_too_large_for_floats_is_refused(folder, exact):
    folder(amount=[exact])
    path = folder(amount=[7.5])
    with pytest.raises(DataError, match=r"do not hold the figure 123,456,789,012 to four"):
        open_ledger(path)


@pytest.mark.parametrize("blank", [float("nan"), None])
def test_a_gap_among_floats_hides_no_figure_that_is_too_large(folder, blank):
    folder(amount=[10**12])
    path = folder(amount=pa.array([blank], pa.float64(), from_pandas=False), customer_id=["C2"])
    with pytest.raises(DataError, match=r"1,000,000,000,000 to four decimals"):
        open_ledger(path)


SHORT = pa.array([0.5], pa.float32())
LARGE = Decimal("16777217.00")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("short", [SHORT, pa.nulls(1, pa.float32())])
@pytest.mark.parametrize(
    "exact",
    [
        pa.array([LARGE], pa.decimal128(12, 2)),
        pa.array([16777217], pa.int32()),
        pa.array([16777217], pa.int64()),
    ],
)
def test_exact_money_is_never_made_floats_of_32_bits(folder, tmp_path, exact, short, turned):
    for column in (short, exact) if turned else (exact, short):
        path = folder(amount=column)
    files = str(tmp_path / "*.parquet")
    lost = duckdb.sql(f"SELECT max(amount) FROM read_parquet('{files}', union_by_name=true)")
    assert lost.fetchall() == [(16777216.0,)]  # what the engine would have made of it
    with pytest.raises(DataError) as caught:
        open_ledger(path)
    told = str(caught.value)
    for k, column in enumerate((short, exact) if turned else (exact, short), start=1):
        assert f"{column.type} in file '{path / f'{k}.parquet'}'" in told
    assert told.endswith("or as double where it is float")


def test_exact_entries_and_labels_are_never_made_floats_of_32_bits(folder):
    folder(like=ENTRIES, amount=[16777217, -60])
    other = {"document": ["I2", "P2"], "against_document": ["", "I2"]}
    path = folder(like=ENTRIES, amount=pa.array([100, -60], pa.float32()), **other)
    with pytest.raises(DataError, match=r"'amount' is int64 in file .*floats of 32 bits"):
        open_entries(path)
    folder(branch=[16777217], name="labels/1.parquet")
    folder(branch=pa.nulls(1, pa.float32()), name="labels/2.parquet")
    with pytest.raises(DataError, match=r"'branch' is int64 in file .*floats of 32 bits"):
        open_ledger(path / "labels")


@pytest.mark.parametrize("order", ["esd", "eds", "sed", "sde", "des", "dse"])
def test_beside_doubles_all_numbers_are_doubles(folder, order):
    kinds = {
        "e": pa.array([LARGE], pa.decimal128(12, 2)),
        "s": SHORT,
        "d": pa.array([16777217.25]),
    }
    for letter in order:
        path = folder(amount=kinds[letter])
    assert open_ledger(path).quality.amount_accepted == 2 * LARGE + Decimal("0.75")
    assert ": read as float64" in notes_of(open_ledger(path))


def test_floats_of_32_bits_beside_doubles_leave_these_as_they_are(folder):
    folder(amount=SHORT)
    ledger = open_ledger(folder(amount=[16777217.25]))
    assert ledger.quality.amount_accepted == Decimal("16777217.75")


def test_whole_amounts_of_one_month_go_with_floats_of_another(folder):
    """Pandas writes a month of whole amounts as whole numbers."""
    folder(amount=[100])
    ledger = open_ledger(folder(amount=[0.1 + 0.2]))
    assert ledger.quality.amount_accepted == Decimal("100.3")
    assert "column 'amount' is int64 in file" in notes_of(ledger)


def test_decimals_that_no_type_holds_together_are_refused_instead_of_cut(folder, tmp_path):
    fine = pa.array([Decimal("1.2345")], pa.decimal128(38, 18))
    folder(amount=fine)
    path = folder(amount=pa.array([Decimal("2.50")], pa.decimal128(38, 2)))
    files = str(tmp_path / "*.parquet")
    cut = duckdb.sql(f"SELECT min(amount) FROM read_parquet('{files}', union_by_name=true)")
    assert cut.fetchall() == [(Decimal("1.23"),)]  # what the engine would have made of 1.2345
    with pytest.raises(DataError, match=r"decimals would be cut off"):
        open_ledger(path)


def test_decimals_of_several_scales_keep_every_digit(folder):
    folder(amount=pa.array([Decimal("1.2345")], pa.decimal128(18, 4)))
    folder(amount=pa.array([Decimal("2.5")], pa.decimal128(36, 2)))
    ledger = open_ledger(folder(amount=pa.array([3], pa.int64())))
    assert ledger.quality.amount_accepted == Decimal("6.7345")


def test_labels_of_several_types_are_told(folder):
    folder(grade=[7])
    ledger = open_ledger(folder(grade=["007"]))
    assert sorted(ledger.to_frame()["grade"]) == ["007", "7"]
    assert "column 'grade' is int64 in file" in notes_of(ledger)
    assert ": read as string" in notes_of(ledger)


LIST = [["a", "b"]]
STRUCT = [{"a": 1}]
UNLIKE_VALUES = [
    (LIST, ["a"], "list<", "string"),
    (LIST, [1], "list<", "int64"),
    (LIST, STRUCT, "list<", "struct<"),
    (STRUCT, ["a"], "struct<", "string"),
    (STRUCT, [True], "struct<", "bool"),
    ([True], [DAY], "bool", "date32"),
    ([1], [datetime.time(12)], "int64", "time64"),
    ([DAY], [1.5], "date32", "double"),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("one", "two", "type_one", "type_two"), UNLIKE_VALUES)
def test_labels_of_types_that_cannot_be_one_are_refused(
    folder, tmp_path, one, two, type_one, type_two, turned
):
    folder(tags=two if turned else one)
    path = folder(tags=one if turned else two)
    files = str(tmp_path / "*.parquet")
    with pytest.raises(duckdb.Error):  # what the first question would have come to
        duckdb.sql(f"SELECT tags FROM read_parquet('{files}', union_by_name=true)").fetchall()
    with pytest.raises(DataError) as caught:
        open_ledger(path)
    told = str(caught.value)
    assert f"is {type_two if turned else type_one}" in told
    assert f"and {type_one if turned else type_two}" in told
    assert told.endswith("write the column as text in every file, or leave it out")


def test_labels_of_entries_that_cannot_be_one_are_refused_if_they_are_kept(folder):
    folder(like=ENTRIES, tags=[["a"], ["b"]])
    other = {"document": ["I2", "P2"], "against_document": ["", "I2"]}
    path = folder(like=ENTRIES, tags=["a", "b"], **other)
    with pytest.raises(DataError, match="'tags' is list"):
        open_entries(path, groups=["tags"])
    assert open_entries(path, as_of="2024-06-30").exposure().to_dict() == {"C1": 80.0}


LIKE_VALUES = [
    (LIST, pa.array([[1]], pa.large_list(pa.int32()))),
    (LIST, pa.array([["c"]], pa.list_(pa.string(), 1))),
    (LIST, pa.nulls(1)),
    (LIST, pa.nulls(1, pa.float64())),
    (STRUCT, [{"b": "x"}]),
    ([True], ["yes"]),
    ([True], [7]),
    ([True], [7.5]),
    ([True], [Decimal("7.5")]),
    ([DAY], ["soon"]),
    ([DAY], pa.array([NOON], pa.timestamp("us", "UTC"))),
    ([NOON], pa.array([NOON], pa.timestamp("us", "UTC"))),
    (pa.array([NOON], pa.timestamp("ms", "CET")), pa.array([NOON], pa.timestamp("us", "UTC"))),
    ([datetime.time(12)], ["noon"]),
    ([datetime.time(12)], pa.array([datetime.time(13)], pa.time32("s"))),
]


@pytest.mark.parametrize(("one", "two"), LIKE_VALUES)
def test_labels_of_types_that_can_be_one_are_read(folder, one, two):
    folder(tags=one)
    ledger = open_ledger(folder(tags=two), as_of="2024-01-31")
    assert ledger.ageing(by="tags")["total"].sum() == 200.0


# --- columns of the folders ---------------------------------------------------------------------


def test_a_column_of_the_folders_is_in_every_file(folder):
    folder(name="month=2024-01/a.parquet", month=["x"])
    ledger = open_ledger(folder(name="month=2024-02/a.parquet"))
    assert sorted(ledger.to_frame()["month"]) == ["2024-01", "2024-02"]
    assert "column 'month' stands in the files and in the names of their folders, which count" in (
        notes_of(ledger)
    )


def test_a_column_of_the_folders_alone_is_as_good_as_any(folder):
    folder(name="month=2024-01/a.parquet")
    ledger = open_ledger(folder(name="month=2024-02/a.parquet"))
    assert sorted(ledger.to_frame()["month"]) == ["2024-01", "2024-02"]
    assert "month" not in notes_of(ledger)


def test_a_required_column_may_come_from_the_folders(folder):
    for customer in ("A", "B"):
        path = folder(name=f"customer_id={customer}/a.parquet", drop=("customer_id",))
    assert open_ledger(path, as_of="2024-01-31").exposure().to_dict() == {"A": 100.0, "B": 100.0}


UNLIKE = [
    ("currency=USD/a", "d", "'currency'", "no column"),
    ("a", "z/currency=USD/b", "no column", "'currency'"),
    ("Region=A/a", "region=B/b", "'Region'", "'region'"),
    ("region=A/year=1/a", "region=B/b", "'region', 'year'", "'region'"),
    ("region=A/a", "region=B=C/b", "'region'", "no column"),
]


@pytest.mark.parametrize(("one", "two", "keys", "keys_too"), UNLIKE)
@pytest.mark.parametrize("opened", [open_ledger, open_entries])
def test_folders_that_hold_unlike_columns_are_refused(folder, opened, one, two, keys, keys_too):
    like = PLAIN if opened is open_ledger else ENTRIES
    folder(like=like, name=f"{one}.parquet")
    path = folder(like=like, name=f"{two}.parquet")
    with pytest.raises(DataError) as caught:
        opened(path)
    told = str(caught.value)
    assert f"{one}.parquet' hold {keys} and those of file" in told
    assert f"{two}.parquet' hold {keys_too}; expected the same for every file" in told


def test_folders_may_hold_the_same_columns_in_any_order(folder):
    folder(name="region=A/year=1/a.parquet")
    ledger = open_ledger(folder(name="year=2/region=B/a.parquet"))
    assert sorted(ledger.to_frame()["region"]) == ["A", "B"]
    assert sorted(ledger.to_frame()["year"]) == ["1", "2"]


@pytest.mark.parametrize("pattern", ["", "*/*.parquet", "currency=USD"])
def test_a_folder_of_one_file_has_the_columns_of_its_folders(folder, pattern):
    path = folder(name="currency=USD/a.parquet", currency=["EUR"])
    ledger = open_ledger(path / pattern)
    assert ledger.currency == "USD"
    with pytest.raises(DataError, match="currency 'USD' is not the one asked for"):
        open_ledger(path / pattern, currency="EUR")
    assert "in the names of their folders, which count" in notes_of(ledger)


def test_entries_of_a_folder_of_one_file_have_the_columns_of_its_folders(folder):
    path = folder(like=ENTRIES, name="month=2024-01/a.parquet")
    ledger = open_entries(path, groups=["month"], as_of="2024-06-30")
    assert set(ledger.to_frame()["month"]) == {"2024-01"}


def test_a_single_file_is_read_without_its_folders_and_says_so(folder):
    path = folder(name="month=2024-01/a.parquet", month=["x"]) / "month=2024-01" / "a.parquet"
    ledger = open_ledger(path)
    assert ledger.to_frame()["month"].tolist() == ["x"]
    assert "without what its folders hold ('month'): open the folder" in notes_of(ledger)
    assert "folders" not in notes_of(open_ledger(folder(name="b.parquet") / "b.parquet"))


@pytest.mark.parametrize("hidden", ["_temporary/0/b", ".tmp/b", "2024/_temporary/b", "_b", ".b"])
@pytest.mark.parametrize("pattern", ["", "**/*.parquet"])
def test_what_a_stopped_run_left_behind_is_no_part_of_the_book(folder, hidden, pattern):
    folder(name="a.parquet")
    path = folder(name=f"{hidden}.parquet")
    assert open_ledger(path / pattern).n_invoices == 1


@pytest.mark.parametrize("asked", ["_books", ".books", "_books/.2024"])
@pytest.mark.parametrize("pattern", ["", "*.parquet"])
def test_hidden_folders_are_read_where_the_path_says_them(folder, asked, pattern, monkeypatch):
    folder(name=f"{asked}/a.parquet")
    folder(name=f"{asked}/_temporary/b.parquet")
    path = folder(name=f"{asked}/c.parquet")
    assert open_ledger(path / asked / pattern).n_invoices == 2
    (path / "here").mkdir()
    monkeypatch.chdir(path / "here")
    assert open_ledger(f"../{asked}/{pattern}").n_invoices == 2


def test_hidden_folders_are_read_where_a_pattern_asks_for_them(folder):
    folder(name="_books/a.parquet")
    folder(name="_books/_temporary/b.parquet")
    path = folder(name="_more/c.parquet")
    assert open_ledger(path / "_[bm]*" / "**" / "*.parquet").n_invoices == 2


def test_a_column_of_folders_may_begin_with_an_underscore(folder):
    folder(name="_day=1/a.parquet")
    ledger = open_ledger(folder(name="_day=2/a.parquet"))
    assert sorted(ledger.to_frame()["_day"]) == ["1", "2"]


def test_a_folder_of_hidden_folders_alone_has_no_files(folder):
    path = folder(name="_temporary/a.parquet")
    with pytest.raises(DataError, match="is a folder without Parquet files"):
        open_ledger(path)


def test_files_by_a_relative_path_are_named_in_notes(folder, monkeypatch):
    folder(region=["north"])
    monkeypatch.chdir(folder())
    assert "('2.parquet')" in notes_of(open_ledger("*.parquet"))


def test_each_footer_is_read_once(folder, monkeypatch):
    opened = []
    real = pq.ParquetFile
    monkeypatch.setattr(
        "pyarrow.parquet.ParquetFile", lambda path: opened.append(path.name) or real(path)
    )
    folder()
    open_ledger(folder())
    assert opened == ["1.parquet", "2.parquet"]


# --- entries ------------------------------------------------------------------------------------


def test_entries_keep_the_column_of_their_folders(folder):
    folder(like=ENTRIES, name="month=2024-01/a.parquet")
    other = {"document": ["I2", "P2"], "against_document": ["", "I2"]}
    path = folder(like=ENTRIES, name="month=2024-02/a.parquet", **other)
    ledger = open_entries(path, groups=["month"], as_of="2024-06-30")
    assert ledger.exposure().to_dict() == {"C1": 80.0}
    assert sorted(ledger.to_frame()["month"]) == ["2024-01", "2024-02"]


def test_rejected_entries_of_several_files_say_which_file(folder):
    # By name "10" stands before "2", as the engine numbers them.
    wrong = {"2.parquet": [0, 1], "10.parquet": [1], "1.parquet": []}
    for name, bad in wrong.items():
        number = name.split(".")[0]
        path = folder(
            like=ENTRIES,
            name=name,
            document=[f"I{number}", f"P{number}"],
            against_document=["", f"I{number}"],
            kind=["nonsense" if k in bad else kind for k, kind in enumerate(ENTRIES["kind"])],
        )
    rejected = open_entries(path, as_of="2024-06-30").quality.rejected
    assert list(rejected.columns[:4]) == ["file", "row", "rule", "reason"]
    found = list(zip(rejected["file"], rejected["row"], rejected["document"], strict=True))
    assert found == [
        (str(path / "10.parquet"), 2, "P10"),
        (str(path / "2.parquet"), 1, "I2"),
        (str(path / "2.parquet"), 2, "P2"),
    ]
    assert set(rejected["rule"]) <= set(ENTRY_RULE)
    one = open_entries(path / "10.parquet", as_of="2024-06-30").quality.rejected
    assert list(one.columns[:3]) == ["row", "rule", "reason"]


def test_a_column_of_entries_that_one_file_lacks_is_an_error_or_a_note(folder):
    folder(like=ENTRIES, region=["north", "north"])
    path = folder(like=ENTRIES, document=["I2", "P2"], rename={"against_document": "against"})
    with pytest.raises(DataError, match=r"2.parquet' has no column 'against_document'; found"):
        open_entries(path)
    (path / "2.parquet").unlink()
    folder(like=ENTRIES, document=["I2", "P2"], against_document=["", "I2"])
    ledger = open_entries(path, groups=["region"], as_of="2024-06-30")
    assert "'region' is in 1 of 2 files: the 2 rows of the others have it blank" in notes_of(ledger)
    assert "region" not in notes_of(open_entries(path, as_of="2024-06-30"))


def test_documents_of_two_types_are_refused_unless_the_profile_fills_up_their_zeros(folder):
    folder(like=ENTRIES)
    whole = {"document": [7, 8], "against_document": [None, 7]}
    path = folder(like=ENTRIES, **whole)
    with pytest.raises(DataError, match=r"'document' is string in file .* two ids"):
        open_entries(path)


def test_figures_of_the_panel_are_those_of_the_rows_in_one_file(folder, tmp_path):
    """The whole way: a folder of unlike files gives what one frame of the same rows gives."""
    folder(region=["north"])
    folder(drop=("settled_date",), invoice_date=[datetime.date(2024, 3, 5)],
           due_date=[datetime.date(2024, 4, 5)])  # fmt: skip
    path = folder(rename={"settled_date": "SETTLED_DATE"}, amount=[50.25])
    rows = pd.DataFrame(
        {
            "customer_id": ["C1"] * 3,
            "invoice_id": ["1", "2", "3"],
            "invoice_date": ["2024-01-10", "2024-03-05", "2024-01-10"],
            "due_date": ["2024-02-09", "2024-04-05", "2024-02-09"],
            "amount": ["100.00", "100.00", "50.25"],
            "settled_date": ["2024-02-01", "", "2024-02-01"],
        }
    )
    rule = cp.ReturnRule(0.25, funding_rate=0.05)
    panels = [
        cp.ReturnPanel.from_ledger(open_ledger(source, as_of="2024-12-31"), rule, "month")
        for source in (path, rows)
    ]
    pd.testing.assert_frame_equal(panels[0].to_frame(), panels[1].to_frame(), rtol=1e-12)
