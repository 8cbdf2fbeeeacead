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
from hypothesis import given, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.limits import check_statements, read_statements, working_asset_limits
from credit_portfolio.limits.statements import REJECTION_RULES

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


def rejected(table: pd.DataFrame, **options: object) -> list[list[object]]:
    found = check_statements(table, **options).rejected  # type: ignore[arg-type]
    return found[["row", "rule", "customer_id"]].to_numpy().tolist()


def written(folder: Path, *lines: str) -> Path:
    """Write statements under the usual header, separated by semicolons."""
    path = folder / "statements.csv"
    path.write_text("\n".join([HEADER.replace(",", ";"), *lines, ""]), encoding="utf-8")
    return path


RATED_ROW = "Z;2023-12-31;2400.5;800;1200;1800;1500"


# ------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace(",", ";").replace("2400.50", "2400,50").encode(),
        TEXT.replace(",", "\t").encode(),
        gzip.compress(TEXT.encode(), mtime=0),
        TEXT.replace("3000,,", "3000,NA,").encode(),
        TEXT.replace("2023-12-31", "2023").encode(),
        TEXT.replace(",", ";").replace("2023-12-31", "31.12.2023").encode(),
    ],
    ids=["csv", "bom", "crlf", "decimal comma", "tab", "gz", "NA", "year", "dotted date"],
)
def test_the_same_statements_are_read_from_any_usual_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "statements.csv"
    path.write_bytes(content)
    statements = read_statements(path)
    found = statements.accepted
    assert found["customer_id"].tolist() == ["0042", "B"]
    assert found["current_assets"].tolist() == [2400.5, 3000]
    assert np.isnan(found.loc[1, "inventory"])
    assert (found["statement_date"] == pd.Timestamp("2023-12-31")).all()
    assert statements.rejected.empty
    assert working_asset_limits(statements).loc["0042", "reason"] == "rated"


def test_a_file_with_other_names_is_read_by_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "firms.csv"
    path.write_text(TEXT.replace("customer_id", "firm").replace("\n0042", "\n0043"))
    found = read_statements(path, columns={"customer_id": "firm"}).accepted
    assert found["customer_id"].tolist() == ["0043", "B"]
    with pytest.raises(DataError, match=r"no column 'firn'.*Did you mean 'firm'"):
        read_statements(path, columns={"customer_id": "firn"})
    with pytest.raises(ModelError, match="Did you mean 'customer_id'"):
        read_statements(path, columns={"customer": "firm"})


def test_other_columns_come_along_as_text(tmp_path: Path) -> None:
    path = tmp_path / "statements.csv"
    path.write_text(f"{HEADER},region\nA,2023-12-31,2400,800,1200,1800,1500,007\n")
    assert read_statements(path).accepted["region"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.encode(), "a header and no rows"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\x1f\x8b broken", "cannot be read"),
        (f"{HEADER},net_worth\nA,2023-12-31,1,0,1,1,1,1\n".encode(), "more than once"),
        (f'{HEADER}\nA,2023-12-31,"1,0,1,1,1\n'.encode(), "every quote to be closed"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "statements.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_statements(path)


def test_a_file_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "statements.csv").touch()
    absent = tmp_path / "statement.csv"
    with pytest.raises(DataError, match="does not exist; expected a CSV file") as caught:
        read_statements(absent)
    assert str(caught.value).startswith(f"file {str(absent)!r}")
    assert "Did you mean 'statements.csv'?" in str(caught.value)
    with pytest.raises(DataError, match="is a folder; expected a CSV file"):
        read_statements(tmp_path)


def test_the_us_statements_are_read_by_a_mapping(us_statements_csv: Path) -> None:
    found = read_statements(
        us_statements_csv,
        columns={
            "customer_id": "firm_id",
            "statement_date": "fiscal_year",
            "current_liabilities": "total_current_liabilities",
        },
    ).accepted
    assert len(found) == 7696
    reference = pd.read_csv(us_statements_csv)
    np.testing.assert_array_equal(found["current_assets"], reference["current_assets"])
    assert found["statement_date"].dt.year.tolist() == reference["fiscal_year"].tolist()


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_finds_the_columns(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "statements.csv"
    header = HEADER.replace(",", mark) + mark + f'"net sales, net; of|all{chr(9)}returns"'
    path.write_text(f"{header}\n{RATED_ROW.replace(';', mark)}{mark}5\n")
    assert read_statements(path).accepted["customer_id"].tolist() == ["Z"]
    with pytest.raises(ModelError, match="one character"):
        read_statements(path, separator=";;")


def test_a_separator_given_is_used(tmp_path: Path) -> None:
    path = tmp_path / "statements.csv"
    path.write_text(TEXT.replace(",", "~"))
    with pytest.raises(DataError, match="no column"):
        read_statements(path)
    assert len(read_statements(path, separator="~").accepted) == 2


# ------------------------------------------------------------------------------ decimal marks


@pytest.mark.parametrize(
    "row",
    [
        "A;2023-12-31;2.400;0.800;1.200;1.800;1.500",  # or 800, in a format that pads to 0.800
        "A;2023-12-31;2.400;800;1.200;1.800;1.500",
        "A;2023-12-31;2,400;800;1,200;1,800;1,500",
        "A;2023-12-31;2,400;0,8;1.2;1,800;1,500",
        "A;2023-12-31;2400.5;0,8;1200;1800;1500",
    ],
)
def test_figures_that_could_be_thousands_are_never_guessed(tmp_path: Path, row: str) -> None:
    with pytest.raises(DataError, match=r"decimal mark .* not clear.*pass decimal='\.' or"):
        read_statements(written(tmp_path, row))


@pytest.mark.parametrize(
    ("row", "decimal"),
    [
        ("A;2023-12-31;2.400;800;1.200;1.800;1.500", ","),
        ("A;2023-12-31;2,400;800;1,200;1,800;1,500", "."),
        ("A;2023-12-31;2.400,00;800;1.200;1.800;1.500", None),
        ("A;2023-12-31;2,400.00;800;1,200;1,800;1,500", None),
        ("A;2023-12-31;2400,00;800,0;1200,00;1800,00;1500", None),
        ("A;2023-12-31;2400;800;1200;1800;1500", None),
        ("A;2023-12-31;2.4e3;800;1200;1800;1500.0", None),
    ],
)
def test_thousands_marks_are_read_once_the_decimal_mark_is_known(
    tmp_path: Path, row: str, decimal: str | None
) -> None:
    statements = read_statements(written(tmp_path, row), decimal=decimal)
    assert working_asset_limits(statements)["limit"].tolist() == [337.5]


def test_statements_in_millions_are_read_with_their_three_decimals(tmp_path: Path) -> None:
    row = "A;2023-12-31;2.400;0.800;1.200;1.800;1.500"
    for path, decimal in ((written(tmp_path, row), "."), (written(tmp_path, row, RATED_ROW), None)):
        statements = read_statements(path, decimal=decimal)
        assert statements.accepted.loc[0, "current_assets"] == 2.4
        assert working_asset_limits(statements, unit=None).loc["A", "limit"] == 0.3375


def test_a_row_with_the_other_mark_is_set_aside_and_so_is_what_fits_both(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        RATED_ROW,
        "B;2023-12-31;2400,5;800;1200;1800;1500",
        "C;2023-12-31;2400;800;1.200;1800;1500.5",
    )
    statements = read_statements(path)
    assert statements.accepted["customer_id"].tolist() == ["Z"]
    assert statements.rejected["reason"].tolist() == [
        "current_assets '2400,5' is not a number with the decimal mark '.'",
        "current_liabilities '1.200' is not a number with the decimal mark '.'",
    ]
    with pytest.raises(ModelError, match=r"expected '\.' or ','"):
        read_statements(path, decimal=";")


def test_a_table_with_text_follows_the_same_rule_and_numbers_need_none() -> None:
    text = frame(net_worth=["1.500", "1.600", "600"])
    with pytest.raises(DataError, match="decimal mark of the statements is not clear"):
        working_asset_limits(text)
    found = check_statements(text, decimal=",").accepted
    assert found["net_worth"].tolist() == [1500, 1600, 600]
    with pytest.raises(ModelError, match="leave it out"):
        check_statements(frame(), decimal=",")


def test_the_decimal_mark_is_noted(tmp_path: Path) -> None:
    assert read_statements(written(tmp_path, RATED_ROW)).notes == ("decimal mark '.', found",)
    assert check_statements(frame()).notes == ()


@given(st.integers(0, 10**12), st.sampled_from([".", ","]), st.booleans())
def test_money_written_with_cents_is_read_as_it_was_meant(
    cents: int, mark: str, parted: bool
) -> None:
    other = "," if mark == "." else "."
    whole = f"{cents // 100:,}".replace(",", other if parted else "")
    found = check_statements(frame(net_worth=[f"{whole}{mark}{cents % 100:02d}", "1", "2"]))
    assert found.accepted["net_worth"].tolist() == [cents / 100, 1, 2]


# ------------------------------------------------------------------------------ types


def test_ids_are_text_and_whole_numbers_become_text() -> None:
    for ids in ([7, 8, 9], pd.Series([7, np.int64(8), "9"], dtype=object)):
        found = check_statements(frame(customer_id=ids)).accepted
        assert found["customer_id"].tolist() == ["7", "8", "9"]
    mixed = pd.Series(["007", 7, "NA"], dtype=object)
    found = check_statements(frame(customer_id=mixed)).accepted
    assert found["customer_id"].tolist() == ["007", "7", "NA"]


def test_white_space_around_an_id_is_cut_off_and_noted(tmp_path: Path) -> None:
    table = check_statements(frame(customer_id=[" A", "B\u00a0", "C C"]))
    lines = [RATED_ROW.replace("Z", name) for name in (" A\t", "B\u00a0", "C C")]
    for found in (table, read_statements(written(tmp_path, *lines))):
        assert found.accepted["customer_id"].tolist() == ["A", "B", "C C"]
        assert found.notes[-1].startswith("white space around 2 customer ids was cut off")
        assert working_asset_limits(found).index.tolist() == ["A", "B", "C C"]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (None, "missing"), ("", "missing"), ("  ", "missing"), ("\u00a0", "missing"),
        (float("nan"), "missing"), (7.0, "unreadable"), (True, "unreadable"),
    ],
)  # fmt: skip
def test_an_id_that_is_no_id_stops_nobody_and_is_told(bad: object, rule: str) -> None:
    table = frame(customer_id=pd.Series(["A", bad, "C"], dtype=object))
    with pytest.warns(UserWarning, match=r"1 row of the statements without a .* \(row 2\)"):
        assert rejected(table) == [[2, f"{rule}_customer_id", ""]]
    with pytest.warns(UserWarning, match="counted for nobody"):
        limits = working_asset_limits(table)
    assert limits["reason"].to_dict() == {"A": "rated", "C": "rated"}


@pytest.mark.parametrize("ids", [[None] * 3, [7.0, 8.0, np.nan], ["", " ", None]])
def test_a_table_that_names_no_customer_is_an_error(ids: list[object]) -> None:
    with pytest.raises(DataError, match="none of the 3 rows") as caught:
        working_asset_limits(frame(customer_id=ids))
    assert caught.value.failures is not None
    assert caught.value.failures["row"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "value",
    [
        "2023-12-31", "2023-12-31 10:00:00", "2023-12-31T23:59:00+02:00", "20231231", "31.12.2023",
        "2023", 2023, 2023.0, date(2023, 12, 31), pd.Timestamp("2023-12-31 08:00"),
        np.datetime64("2023-12-31"),
    ],
)  # fmt: skip
def test_a_date_is_read_from_each_usual_form(value: object) -> None:
    dates = check_statements(frame(statement_date=pd.Series([value] * 3, dtype=object))).accepted
    assert (dates["statement_date"] == pd.Timestamp("2023-12-31")).all()


def test_a_column_of_years_or_of_timestamps_is_read() -> None:
    years = check_statements(frame(statement_date=[2021, 2022, 2023])).accepted["statement_date"]
    assert years.dt.strftime("%Y-%m-%d").tolist() == ["2021-12-31", "2022-12-31", "2023-12-31"]
    zoned = pd.Series(pd.to_datetime(["2023-06-30"] * 3)).dt.tz_localize("Asia/Shanghai")
    found = check_statements(frame(statement_date=zoned)).accepted
    assert (found["statement_date"].dt.day == 30).all()


def test_dates_are_read_by_a_format_given(tmp_path: Path) -> None:
    path = written(tmp_path, RATED_ROW.replace("2023-12-31", "12/31/2023"))
    assert read_statements(path).rejected["rule"].tolist() == ["unreadable_statement_date"]
    for form in ("%m/%d/%Y", ["%m/%d/%Y", "%d.%m.%y"]):
        found = read_statements(path, date_format=form).accepted["statement_date"]
        assert found.tolist() == [pd.Timestamp("2023-12-31")]
    both = frame(statement_date=["01/02/2023", "13/02/2023", "2/2/2023"])
    found = check_statements(both, date_format=["%d/%m/%Y", "%m/%d/%Y"])
    assert found.accepted["statement_date"].dt.day.tolist() == [13, 2]
    assert found.rejected["reason"].tolist() == ["statement_date '01/02/2023' is no date"]


@pytest.mark.parametrize("form", ["%Y", "%Q", [], "%d.%m"])
def test_a_date_format_that_is_none_is_refused(form: object) -> None:
    with pytest.raises(ModelError, match="date"):
        check_statements(frame(), date_format=form)  # type: ignore[arg-type]
    dated = frame(statement_date=pd.to_datetime(["2023-12-31"] * 3))
    with pytest.raises(ModelError, match="leave it out"):
        check_statements(dated, date_format="%Y-%m-%d")


@pytest.mark.parametrize(
    "bad",
    ["2023-02-30", "soon", "12/31/2023", "2023-12", None, "", 12, True, "99999", pd.NaT,
     "0203-12-31", "20140000"],
)  # fmt: skip
def test_a_date_that_is_no_date_costs_that_customer_the_limit(bad: object) -> None:
    table = frame(statement_date=pd.Series(["2023-12-31", "2023-12-31", bad], dtype=object))
    assert rejected(table) == [[3, "unreadable_statement_date", "C"]]
    limits = working_asset_limits(table, as_of="2024-01-01", max_age_days=10)
    assert limits["reason"].tolist() == ["rated", "rated", "unreadable_statement"]
    assert limits.loc["C", "limit"] == 0
    assert pd.isna(limits.loc["C", "statement_date"])
    assert "statement_date" in limits.loc["C", "explanation"]


def test_amounts_are_read_from_decimals_text_and_nullable_numbers() -> None:
    for column in (
        pd.Series([Decimal("1500.25"), Decimal(1), None], dtype=object),
        pd.Series(["1500.25", " 1 ", "n/a"], dtype=object),
        pd.Series([1500.25, 1, None], dtype="Float64"),
    ):
        found = check_statements(frame(net_worth=column)).accepted["net_worth"]
        assert found.tolist()[:2] == [1500.25, 1]
        assert np.isnan(found[2])


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("much", "'much' is not a number"), ("1 200", "'1 200' is not a number"),
        ("12,00.0", "with the decimal mark '.'"), (True, "True is not a number"),
        ((1, 2), "(1, 2) is not a number"), (1j, "1j is not a number"),
        (inf, "inf is not finite"), (-inf, "-inf is not finite"), ("inf", "'inf' is not finite"),
        (1e40, "no amount of money"), ("1e40", "no amount of money"), (10**400, "not finite"),
        ("\u0661\u0662", "is not a number"), ("x" * 500, "...' is not a number"),
    ],
)  # fmt: skip
def test_an_amount_that_is_no_amount_costs_that_customer_the_limit(
    bad: object, problem: str
) -> None:
    cells = pd.Series([800, None, "400.5"], dtype=object)
    cells[1] = bad
    table = frame(inventory=cells)
    assert rejected(table) == [[2, "amount_not_a_number", "B"]]
    limits = working_asset_limits(table)
    assert limits["reason"].tolist() == ["rated", "unreadable_statement", "rated"]
    assert limits["limit"].tolist()[0] == 337.5
    assert limits.loc["B", "limit"] == 0
    words = limits.loc["B", "explanation"]
    assert "the statement cannot be read: inventory" in words
    assert problem.removeprefix("...'") in words
    assert len(words) < 200
    assert limits.loc["B", "statement_date"] == pd.Timestamp("2023-12-31")


def test_truth_values_are_no_amounts() -> None:
    assert len(rejected(frame(inventory=[True, False, True]))) == 3


def test_a_decimal_that_is_not_a_number_is_blank() -> None:
    cells = pd.Series([Decimal("NaN"), Decimal("Infinity"), Decimal("sNaN")], dtype=object)
    assert rejected(frame(inventory=cells)) == [[2, "amount_not_a_number", "B"]]


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


def test_a_column_already_used_is_no_suggestion(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'current_liabilities'") as caught:
        working_asset_limits(frame().drop(columns="current_liabilities"))
    assert "Did you mean" not in str(caught.value)
    path = tmp_path / "statements.csv"
    path.write_text(TEXT)
    with pytest.raises(DataError, match="no column 'net_wort'") as caught:
        read_statements(path, columns={"total_assets": "net_wort"})
    assert "Did you mean" not in str(caught.value)


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


# ------------------------------------------------------------------------------ copies


def test_copies_of_one_date_that_differ_cost_that_customer_the_limit() -> None:
    year_and_date = pd.Series([2023, 2023, "2023-12-31"], dtype=object)
    for dates in ("2023-12-31", year_and_date):
        table = frame(customer_id=["A", "B", "A "], statement_date=dates, inventory=[800, 1, None])
        assert rejected(table) == [[1, "conflicting_copies", "A"], [3, "conflicting_copies", "A"]]
        limits = working_asset_limits(table)
        assert limits["reason"].to_dict() == {"A": "conflicting_statements", "B": "rated"}
        assert limits.loc["A", "limit"] == 0
        words = limits.loc["A", "explanation"]
        assert "statements of 2023-12-31 contradict each other: rows 1 and 3" in words
        assert "inventory 800.0 and blank" in words
    assert working_asset_limits(
        frame(customer_id=["A", "B", "A"], statement_date=[2021, 2022, 2023])
    ).index.tolist() == ["A", "B"]


def test_identical_copies_do_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path, RATED_ROW, RATED_ROW, RATED_ROW.replace("2400.5", "2400.50"))
    statements = read_statements(path)
    assert len(statements.accepted) == 1
    assert statements.rejected["rule"].tolist() == ["identical_copy"] * 2
    assert statements.rejected["reason"].tolist() == ["the same as row 1"] * 2
    assert working_asset_limits(statements).loc["Z", "reason"] == "rated"


def test_three_copies_that_do_not_all_agree_are_all_set_aside() -> None:
    table = frame(customer_id="A", current_assets=[2400, 2400, 2500], inventory=1,
                  current_liabilities=1, total_liabilities=1, net_worth=1)  # fmt: skip
    found = check_statements(table)
    assert found.rejected["rule"].tolist() == ["conflicting_copies"] * 3
    assert "(3 rows in all)" in found.rejected["reason"][0]
    assert working_asset_limits(found).loc["A", "reason"] == "conflicting_statements"


# ------------------------------------------------------------------------------ bad rows


def test_one_bad_line_of_each_kind_stops_nobody_else(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        RATED_ROW,
        RATED_ROW,
        "A;2023-12-31;abc;800;1200;1800;1500",
        "B;2023-12-31;2400;800;inf;1800;1500",
        " ;2023-12-31;2400;800;1200;1800;1500",
        "D;2023-12-31;2400;800",
        "E;2023-12-31;2400;800;1200;1800;1500;9",
        "F;yesterday;2400;800;1200;1800;x",
        "G;2023-12-31;2400;800;1200;1800;1500",
        "G;2023-12-31;2400;900;1200;1800;1500",
        "H;2023-12-31;2400;;1200;1800;1500",
    )
    with pytest.warns(UserWarning, match=r"1 row of file .* \(row 5\)"):
        statements = read_statements(path)
    assert statements.accepted["customer_id"].tolist() == ["Z", "H"]
    assert statements.rows_read == 11
    assert statements.rejected.set_index("row")["rule"].to_dict() == {
        2: "identical_copy", 3: "amount_not_a_number", 4: "amount_not_a_number",
        5: "missing_customer_id", 6: "malformed_row", 7: "malformed_row",
        8: "unreadable_statement_date", 9: "conflicting_copies", 10: "conflicting_copies",
    }  # fmt: skip
    assert set(statements.rejected["rule"]) <= set(REJECTION_RULES)
    assert statements.rejected["current_assets"].tolist()[1] == "abc"
    assert "11 read, 2 accepted" in repr(statements)
    limits = working_asset_limits(statements)
    assert limits["reason"].to_dict() == {
        "A": "unreadable_statement", "B": "unreadable_statement", "D": "unreadable_statement",
        "E": "unreadable_statement", "F": "unreadable_statement", "G": "conflicting_statements",
        "H": "missing_amount", "Z": "rated",
    }  # fmt: skip
    assert (limits["limit"] > 0).to_dict() == {name: name == "Z" for name in limits.index}
    for name, words in (("A", "'abc'"), ("B", "'inf'"), ("D", "4 fields, the header 7"),
                        ("F", "'yesterday' is no date; net_worth 'x'")):  # fmt: skip
        assert words in limits.loc[name, "explanation"]


def test_a_bad_row_counts_only_where_its_statement_would() -> None:
    table = pd.DataFrame(
        {
            "customer_id": ["old", "old", "new", "new", "undated", "undated", "same", "same"],
            "statement_date": ["2021", "2022", "2021", "2022", "2022", "?", "2022", "2022"],
            "current_assets": ["x", "2400", "2400", "x", "2400", "2400", "x", "2400"],
            "inventory": 800, "current_liabilities": 1200, "total_liabilities": 1800,
            "net_worth": 1500,
        }
    )  # fmt: skip
    assert working_asset_limits(table)["reason"].to_dict() == {
        "new": "unreadable_statement",
        "old": "rated",
        "same": "unreadable_statement",
        "undated": "unreadable_statement",
    }
    before = working_asset_limits(table, as_of="2022-06-30")["reason"].to_dict()
    assert before["new"] == "rated"
    assert before["old"] == "unreadable_statement"
    assert before["same"] == "statement_after_as_of"


def test_a_table_without_a_good_row_still_answers_for_each_customer() -> None:
    limits = working_asset_limits(frame(inventory="abc", currency="EUR"))
    assert (limits["reason"] == "unreadable_statement").all()
    assert limits["limit"].tolist() == [0, 0, 0]


# ------------------------------------------------------------------------------ currencies


def test_two_currencies_are_never_mixed() -> None:
    with pytest.raises(DataError, match="EUR in 2 rows, USD in 1 row") as caught:
        working_asset_limits(frame(currency=["EUR", "USD", "eur "]))
    assert caught.value.failures is not None
    assert caught.value.failures[["row", "value"]].to_numpy().tolist() == [[2, "USD"]]


def test_a_row_without_a_currency_among_others_costs_that_customer_the_limit() -> None:
    limits = working_asset_limits(frame(currency=["EUR", None, "EUR"]))
    assert limits["reason"].tolist() == ["rated", "unreadable_statement", "rated"]
    assert "currency is blank, others are in EUR" in limits.loc["B", "explanation"]
    assert limits["currency"].tolist() == ["EUR"] * 3
    assert working_asset_limits(frame(currency=None))["currency"].isna().all()


# ------------------------------------------------------------------------------ properties

cells = st.sampled_from(["2400", "800.5", "", "abc", "inf", "-5", "1,2", " 7 "])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B", " B", "C"]), st.sampled_from(["2021", "2022", "?", ""]),
            cells, cells,
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_each_row_is_on_one_side_and_each_customer_has_one_answer(
    rows: list[tuple[str, str, str, str]],
) -> None:
    table = pd.DataFrame(
        [(name, day, a, b, "1200.25", "1800", "1500") for name, day, a, b in rows],
        columns=HEADER.split(","),
    )
    table.loc[len(table)] = ["Z", "2023", "2400.5", "800", "1200", "1800", "1500.75"]
    found = check_statements(table, decimal=".")
    assert found.rows_read == len(table)
    assert found.rejected["row"].is_unique
    limits = working_asset_limits(found)
    assert limits.index.tolist() == sorted({name.strip() for name, *_ in rows} | {"Z"})
    assert limits.loc["Z", "reason"] == "rated"
    blocked = limits["reason"].isin(["unreadable_statement", "conflicting_statements"])
    assert (limits.loc[blocked, "limit"] == 0).all()
    # A bookkeeper's second look: the last date decides, an unknown one before all others.
    for name, answer in limits[:-1].iterrows():
        own = [row for row in rows if row[0].strip() == name]
        bad = [row for row in own if not readable(row)]
        undated = any(row[1] in ("?", "") for row in bad)
        last = max(row[1] for row in own if row[1] not in ("?", "")) if not undated else ""
        blocks = undated or any(row[1] == last for row in bad)
        assert (answer["reason"] == "unreadable_statement") == blocks


def readable(row: tuple[str, str, str, str]) -> bool:
    return row[1] not in ("?", "") and not {*row[2:]} & {"abc", "inf", "1,2"}
