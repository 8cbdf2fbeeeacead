"""What a table of statements may look like, and what happens to one that may not."""

from __future__ import annotations

import gzip
from datetime import date
from decimal import Decimal
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.limits import check_statements, read_statements, working_asset_limits

HEADER = (
    "customer_id,statement_date,current_assets,inventory,current_liabilities,"
    "total_liabilities,net_worth"
)
TEXT = f"{HEADER}\n0042,2023-12-31,2400.50,800,1200,1800,1500\nB,2023-12-31,3000,,2000,3200,1600\n"


def frame(**columns: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "customer_id": ["A", "B", "C"],
        "statement_date": "2023-12-31",
        "current_assets": [2400.0, 3000, 1000],
        "inventory": [800.0, 1200, 400],
        "current_liabilities": [1200.0, 2000, 900],
        "total_liabilities": [1800.0, 3200, 1500],
        "net_worth": [1500.0, 1600, 600],
    }
    return pd.DataFrame(base | columns)


def failures_of(table: pd.DataFrame) -> pd.DataFrame:
    with pytest.raises(DataError) as caught:
        working_asset_limits(table)
    assert caught.value.failures is not None
    return caught.value.failures


# ------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace(",", ";").replace("2400.50", "2400,50").encode(),
        TEXT.replace(",", "\t").encode(),
        gzip.compress(TEXT.encode()),
        TEXT.replace("3000,,", "3000,NA,").encode(),
        TEXT.replace("2023-12-31", "2023").encode(),
        TEXT.replace(",", ";").replace("2023-12-31", "31.12.2023").encode(),
    ],
    ids=["csv", "bom", "crlf", "decimal comma", "tab", "gz", "NA", "year", "dotted date"],
)
def test_the_same_statements_are_read_from_any_usual_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "statements.csv"
    path.write_bytes(content)
    found = read_statements(path)
    assert found["customer_id"].tolist() == ["0042", "B"]
    assert found["current_assets"].tolist() == [2400.5, 3000]
    assert np.isnan(found.loc[1, "inventory"])
    assert (found["statement_date"] == pd.Timestamp("2023-12-31")).all()
    assert working_asset_limits(found).loc["0042", "reason"] == "rated"


def test_a_file_with_other_names_is_read_by_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "firms.csv"
    path.write_text(TEXT.replace("customer_id", "firm").replace("\n0042", "\n0043"))
    found = read_statements(path, columns={"customer_id": "firm"})
    assert found["customer_id"].tolist() == ["0043", "B"]
    with pytest.raises(DataError, match=r"no column 'firn'.*Did you mean 'firm'"):
        read_statements(path, columns={"customer_id": "firn"})
    with pytest.raises(ModelError, match="Did you mean 'customer_id'"):
        read_statements(path, columns={"customer": "firm"})


def test_other_columns_come_along_as_text(tmp_path: Path) -> None:
    path = tmp_path / "statements.csv"
    path.write_text(f"{HEADER},region\nA,2023-12-31,2400,800,1200,1800,1500,007\n")
    assert read_statements(path)["region"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.encode(), "no rows in"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\x1f\x8b broken", "cannot be read"),
        (f"{HEADER}\nA,2023-12-31,1,2\n".encode(), "7 fields"),
        (f"{HEADER},net_worth\nA,2023-12-31,1,0,1,1,1,1\n".encode(), "more than once"),
        (f'{HEADER}\nA,2023-12-31,"2,400.00",0,1,1,1\n'.encode(), "not a number"),
        (f"{HEADER.replace(',', ';')}\nA;2023;1.234,5;0;1;1;1\n".encode(), "not a number"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "statements.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_statements(path)


def test_a_file_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_statements(tmp_path / "absent.csv")


def test_the_us_statements_are_read_by_a_mapping(us_statements_csv: Path) -> None:
    found = read_statements(
        us_statements_csv,
        columns={
            "customer_id": "firm_id",
            "statement_date": "fiscal_year",
            "current_liabilities": "total_current_liabilities",
        },
    )
    assert len(found) == 7696
    reference = pd.read_csv(us_statements_csv)
    np.testing.assert_array_equal(found["current_assets"], reference["current_assets"])
    assert found["statement_date"].dt.year.tolist() == reference["fiscal_year"].tolist()


# ------------------------------------------------------------------------------ types


def test_ids_are_text_and_whole_numbers_become_text() -> None:
    assert check_statements(frame(customer_id=[7, 8, 9]))["customer_id"].tolist() == ["7", "8", "9"]
    mixed = pd.Series(["007", 7, "NA"], dtype=object)
    assert check_statements(frame(customer_id=mixed))["customer_id"].tolist() == ["007", "7", "NA"]


@pytest.mark.parametrize("bad", [None, "", "  ", 7.0, float("nan"), True])
def test_an_id_that_is_no_id_is_listed(bad: object) -> None:
    found = failures_of(frame(customer_id=pd.Series(["A", bad, "C"], dtype=object)))
    assert found[["row", "column"]].to_numpy().tolist() == [[2, "customer_id"]]


@pytest.mark.parametrize(
    "value",
    [
        "2023-12-31", "2023-12-31 10:00:00", "2023-12-31T23:59:00+02:00", "20231231", "31.12.2023",
        "2023", 2023, 2023.0, date(2023, 12, 31), pd.Timestamp("2023-12-31 08:00"),
        np.datetime64("2023-12-31"),
    ],
)  # fmt: skip
def test_a_date_is_read_from_each_usual_form(value: object) -> None:
    dates = check_statements(frame(statement_date=pd.Series([value] * 3, dtype=object)))
    assert (dates["statement_date"] == pd.Timestamp("2023-12-31")).all()


def test_a_column_of_years_or_of_timestamps_is_read() -> None:
    years = check_statements(frame(statement_date=[2021, 2022, 2023]))["statement_date"]
    assert years.dt.strftime("%Y-%m-%d").tolist() == ["2021-12-31", "2022-12-31", "2023-12-31"]
    zoned = pd.Series(pd.to_datetime(["2023-06-30"] * 3)).dt.tz_localize("Asia/Shanghai")
    assert (check_statements(frame(statement_date=zoned))["statement_date"].dt.day == 30).all()


@pytest.mark.parametrize(
    "bad", ["2023-02-30", "soon", "12/31/2023", "2023-12", None, "", 12, True, "99999", pd.NaT]
)
def test_a_date_that_is_no_date_is_listed(bad: object) -> None:
    dates = pd.Series(["2023-12-31", "2023-12-31", bad], dtype=object)
    found = failures_of(frame(statement_date=dates))
    assert found[["row", "customer_id", "column"]].to_numpy().tolist() == [
        [3, "C", "statement_date"]
    ]


def test_amounts_are_read_from_decimals_text_and_nullable_numbers() -> None:
    for column in (
        pd.Series([Decimal("1500.25"), Decimal(1), None], dtype=object),
        pd.Series(["1500.25", " 1 ", "n/a"], dtype=object),
        pd.Series([1500.25, 1, None], dtype="Float64"),
    ):
        found = check_statements(frame(net_worth=column))["net_worth"]
        assert found.tolist()[:2] == [1500.25, 1]
        assert np.isnan(found[2])


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("much", "not a number"), ("1,200.00", "not a number"), ("1 200", "not a number"),
        (inf, "not finite"), (-inf, "not finite"), ("inf", "not finite"), (1e40, "not finite"),
    ],
)  # fmt: skip
def test_an_amount_that_is_no_amount_is_listed(bad: object, problem: str) -> None:
    found = failures_of(frame(inventory=pd.Series([800, bad, 400], dtype=object)))
    assert found[["row", "customer_id", "column"]].to_numpy().tolist() == [[2, "B", "inventory"]]
    assert problem in found["problem"][0]


def test_truth_values_are_no_amounts() -> None:
    assert len(failures_of(frame(inventory=[True, False, True]))) == 3


# ------------------------------------------------------------------------------ structure


@pytest.mark.parametrize("name", ["customer_id", "statement_date", "inventory", "net_worth"])
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(DataError, match=name) as caught:
        working_asset_limits(frame().drop(columns=name))
    assert caught.value.failures is not None
    assert caught.value.failures["column"].tolist() == [name]


def test_a_missing_column_with_a_near_name_gets_a_hint() -> None:
    with pytest.raises(DataError, match="Did you mean 'inventry'"):
        working_asset_limits(frame().rename(columns={"inventory": "inventry"}))


def test_a_doubled_column_is_named() -> None:
    doubled = pd.concat([frame(), frame()[["inventory"]]], axis=1)
    with pytest.raises(DataError, match="'inventory' stands more than once"):
        working_asset_limits(doubled)


def test_no_rows_are_an_error() -> None:
    with pytest.raises(DataError, match="no rows in the statements"):
        working_asset_limits(frame().iloc[:0])


def test_anything_but_a_table_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="DataFrame"):
        working_asset_limits([1, 2])  # type: ignore[arg-type]


def test_two_statements_of_one_customer_and_date_are_all_listed() -> None:
    found = failures_of(frame(customer_id=["A", "B", "A"]))
    assert found["row"].tolist() == [1, 3]
    year_and_date = frame(
        customer_id=["A", "B", "A"],
        statement_date=pd.Series([2023, 2023, "2023-12-31"], dtype=object),
    )
    assert len(failures_of(year_and_date)) == 2
    assert working_asset_limits(
        frame(customer_id=["A", "B", "A"], statement_date=[2021, 2022, 2023])
    ).index.tolist() == ["A", "B"]


def test_two_currencies_are_never_mixed() -> None:
    found = failures_of(frame(currency=["EUR", "USD", "EUR"]))
    assert found[["row", "value"]].to_numpy().tolist() == [[2, "USD"]]
    assert failures_of(frame(currency=["EUR", None, "EUR"]))["row"].tolist() == [2]


def test_all_problems_are_reported_at_once() -> None:
    table = frame(
        customer_id=pd.Series([None, "B", "C"], dtype=object),
        statement_date=["2023-12-31", "soon", "2023-12-31"],
        inventory=pd.Series([800, 1200, "much"], dtype=object),
    )
    found = failures_of(table)
    assert found["row"].tolist() == [1, 2, 3]
    assert found["column"].tolist() == ["customer_id", "statement_date", "inventory"]


def test_a_message_says_what_where_and_what_to_do() -> None:
    with pytest.raises(DataError) as caught:
        working_asset_limits(frame(inventory=pd.Series([800, "much", "more"], dtype=object)))
    words = str(caught.value)
    assert "2 × not a number in inventory" in words
    assert "first row 2, customer 'B', found 'much'" in words
    assert "mend or remove" in words
