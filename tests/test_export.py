"""Tables as files: text is never a formula, numbers stay numbers, no half file is left."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from openpyxl import load_workbook

from credit_portfolio.errors import OutputError
from credit_portfolio.export import whole_file, write_csv, write_excel

FORMULAS = [
    "=1+1",
    "+1+2",
    "-1-2",
    "-A1",
    "+.5",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    '=HYPERLINK("http://x","y")',
]
PLAIN = [
    "Müller & Söhne",
    "007",
    "<script>alert(1)</script>",
    "a=b",
    'says "so", twice',
    "#N/A",
    "'q",
]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def write_sheet(frame: pd.DataFrame, path: Path) -> None:
    write_excel({"table": frame}, path)


WRITERS: list[Callable[[pd.DataFrame, Path], None]] = [write_csv, write_sheet]


def everywhere(text: str) -> pd.DataFrame:
    """The text as a cell, a column's name, an index entry and the index's name."""
    return pd.DataFrame({text: [text], "next": [1.5]}, index=pd.Index([text], name=f"{text} id"))


# -------------------------------------------------------------------------------------------- CSV


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_csv_starts_a_formula(text: str, tmp_path: Path) -> None:
    write_csv(everywhere(text), tmp_path / "table.csv")
    rows = read_csv(tmp_path / "table.csv")
    assert rows == [[f"'{text} id", f"'{text}", "next"], [f"'{text}", f"'{text}", "1.5"]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1))
def test_a_csv_reads_back_as_the_text_with_an_apostrophe_where_it_is_needed(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    write_csv(pd.DataFrame({"text": texts, "after": "x"}), path, index=False)
    with path.open(newline="", encoding="utf-8") as file:
        found = [row[0] for row in csv.reader(file)][1:]
    assert found == [f"'{t}" if t[:1] in tuple("=+-@\t\r\n") and t else t for t in texts]


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_is_left_as_it_is_in_a_csv(text: str, tmp_path: Path) -> None:
    write_csv(everywhere(text), tmp_path / "table.csv")
    assert read_csv(tmp_path / "table.csv")[1] == [text, text, "1.5"]


def test_a_carriage_return_inside_text_does_not_start_a_row(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"text": ["a\r=1+1"]}), tmp_path / "table.csv", index=False)
    assert len(pd.read_csv(tmp_path / "table.csv")) == 1


def test_numbers_stay_numbers_in_a_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "float": [-1.5, 0.1],
            "int": [-3, 4],
            "mixed": [-5, "-5"],
            "exact": [Decimal("-1.10"), None],
            "gap": [np.nan, -2.0],
            "whole beside a gap": pd.Series([7, None], dtype=object),
        }
    )
    write_csv(frame, tmp_path / "table.csv", index=False)
    assert read_csv(tmp_path / "table.csv")[1:] == [
        ["-1.5", "-3", "-5", "-1.10", "", "7"],
        ["0.1", "4", "-5", "", "-2.0", ""],
    ]


def test_days_stay_days_in_a_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"day": pd.to_datetime(["2024-02-29", None]), "date": date(2024, 2, 29)})
    write_csv(frame, tmp_path / "table.csv", index=False)
    assert read_csv(tmp_path / "table.csv")[1:] == [["2024-02-29"] * 2, ["", "2024-02-29"]]


def test_floats_survive_a_csv_to_the_last_bit(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1 / 3, 1e-300, 123456789.123456789]
    write_csv(pd.DataFrame({"x": values}), tmp_path / "table.csv", index=False)
    assert [float(row[0]) for row in read_csv(tmp_path / "table.csv")[1:]] == values


def test_money_is_written_to_the_cent_and_the_rest_to_the_last_digit(tmp_path: Path) -> None:
    frame = pd.DataFrame({"amount": [446234.51249999995, np.nan, -0.1], "share": [1 / 3, 0, 1]})
    write_csv(frame, tmp_path / "table.csv", index=False, money=["amount", "absent"])
    assert read_csv(tmp_path / "table.csv")[1:] == [
        ["446234.51", repr(1 / 3)],
        ["", "0.0"],
        ["-0.1", "1.0"],
    ]


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_text_is_defused_whatever_its_column_type(dtype: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": pd.Series(["=1", "b"], dtype=dtype)})
    write_csv(frame, tmp_path / "table.csv", index=False)
    assert read_csv(tmp_path / "table.csv") == [["x"], ["'=1"], ["b"]]


def test_two_columns_of_one_name_are_both_defused(tmp_path: Path) -> None:
    frame = pd.DataFrame([["=a", "=b"], ["c", "=d"]], columns=["x", "x"])
    write_csv(frame, tmp_path / "table.csv", index=False)
    assert read_csv(tmp_path / "table.csv") == [["x", "x"], ["'=a", "'=b"], ["c", "'=d"]]


def test_the_callers_table_is_left_alone(tmp_path: Path) -> None:
    for index in (True, False):
        frame = pd.DataFrame({"=x": ["=1"]}, index=pd.Index(["a"], name="id"))
        kept = frame.copy()
        write_csv(frame, tmp_path / "table.csv", index=index)
        pd.testing.assert_frame_equal(frame, kept)


# ------------------------------------------------------------------------------------------ Excel


@pytest.mark.parametrize("text", FORMULAS + PLAIN)
def test_no_cell_of_a_workbook_is_a_formula_and_text_is_unchanged(
    text: str, tmp_path: Path
) -> None:
    write_sheet(everywhere(text), tmp_path / "table.xlsx")
    (head, row) = load_workbook(tmp_path / "table.xlsx")["table"].iter_rows()
    as_read = text.replace("\r", "\n")  # XML knows one line end
    for cell, expected in zip(
        [*head[:2], *row[:2]], [f"{as_read} id", *[as_read] * 3], strict=True
    ):
        assert cell.data_type == "s"
        assert cell.value == expected
    assert row[0].quotePrefix is (text in FORMULAS)  # so that it also survives being edited


def test_numbers_dates_and_gaps_keep_their_type_in_a_workbook(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "float": [-1.5],
            "int": [np.int64(7)],
            "flag": [np.bool_(True)],
            "day": [pd.Timestamp("2024-02-29")],
            "date": [date(2024, 2, 29)],
            "exact": [Decimal("-1.10")],
            "gap": [np.nan],
            "none": [None],
            "nat": [pd.NaT],
        }
    )
    write_sheet(frame, tmp_path / "table.xlsx")
    cells = list(load_workbook(tmp_path / "table.xlsx")["table"].iter_rows())[1]
    assert [cell.value for cell in cells[1:]] == [
        -1.5,
        7,
        True,
        datetime(2024, 2, 29),
        datetime(2024, 2, 29),
        -1.1,
        None,
        None,
        None,
    ]
    assert [cell.data_type for cell in cells[1:7]] == ["n", "n", "b", "d", "d", "n"]


def test_infinity_is_written_as_a_word_since_a_workbook_has_no_such_number(tmp_path: Path) -> None:
    write_sheet(pd.DataFrame({"x": [np.inf, -np.inf, 1.0]}), tmp_path / "table.xlsx")
    column = list(load_workbook(tmp_path / "table.xlsx")["table"]["B"])[1:]
    assert [cell.value for cell in column] == ["inf", "-inf", 1]
    assert [cell.data_type for cell in column] == ["s", "s", "n"]


def test_characters_that_xml_cannot_hold_are_shown_as_missing(tmp_path: Path) -> None:
    write_sheet(pd.DataFrame({"x": ["a\x00b\x1fc"]}), tmp_path / "table.xlsx")
    assert load_workbook(tmp_path / "table.xlsx")["table"]["B2"].value == "a\ufffdb\ufffdc"


def test_a_workbook_has_a_sheet_for_each_table_in_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1]})
    write_excel({"summary": frame, "a" * 40: frame}, tmp_path / "table.xlsx")
    book = load_workbook(tmp_path / "table.xlsx")
    assert book.sheetnames == ["summary", "a" * 31]  # Excel's longest name
    assert book["summary"].freeze_panes == "B2"


def test_numbers_are_shown_as_money_and_shares_and_keep_their_digits(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "money": [446234.51249999995, np.nan, "text"],
            "share": [np.float64(1 / 3), 0, True],
            "exact": [Decimal("1.25"), None, None],
            "plain": [1 / 3, 2, "="],
        }
    )

    def style(sheet: str, column: str, row: object) -> str | None:
        assert sheet == "table"
        return {"money": "money", "share": "share", "exact": "money"}.get(column)

    write_excel({"table": frame}, tmp_path / "table.xlsx", style=style)
    sheet = load_workbook(tmp_path / "table.xlsx")["table"]
    rows = [[cell.number_format for cell in row[1:]] for row in sheet.iter_rows(min_row=2)]
    assert rows == [
        ["#,##0.00", "0.00%", "#,##0.00", "General"],
        ["General", "0.00%", "General", "General"],
        ["General"] * 4,
    ]
    # A workbook holds 15 to 17 digits, as Excel does.
    assert [sheet["B2"].value, sheet["C2"].value] == pytest.approx(
        [446234.51249999995, 1 / 3], rel=1e-15
    )


def test_the_style_of_a_cell_may_depend_on_its_row(tmp_path: Path) -> None:
    frame = pd.DataFrame({"bound": [5.0, 0.5]}, index=pd.Index(["a", "b"], name="kind"))
    write_excel(
        {"t": frame},
        tmp_path / "table.xlsx",
        style=lambda sheet, column, row: "share" if row["kind"] == "b" else None,
    )
    sheet = load_workbook(tmp_path / "table.xlsx")["t"]
    assert [sheet["B2"].number_format, sheet["B3"].number_format] == ["General", "0.00%"]


def test_columns_are_as_wide_as_their_content_and_long_text_is_wrapped(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1], "name": ["n" * 30], "long": ["word " * 40]})
    write_sheet(frame, tmp_path / "table.xlsx")
    sheet = load_workbook(tmp_path / "table.xlsx")["table"]
    widths = [sheet.column_dimensions[letter].width for letter in "BCD"]
    assert widths[0] < 15
    assert 30 < widths[1] < 40
    assert widths[2] == 60
    assert sheet["D2"].alignment.wrap_text
    assert not sheet["C2"].alignment.wrap_text


def test_a_sheet_can_be_filtered_and_its_head_stays_in_view(tmp_path: Path) -> None:
    write_sheet(pd.DataFrame({"x": [1, 2], "y": [3, 4]}), tmp_path / "table.xlsx")
    sheet = load_workbook(tmp_path / "table.xlsx")["table"]
    assert sheet.auto_filter.ref == "A1:C3"
    assert sheet.freeze_panes == "B2"


def test_more_than_26_columns_get_their_width(tmp_path: Path) -> None:
    frame = pd.DataFrame({f"a column named {i}": [i] for i in range(30)})
    write_sheet(frame, tmp_path / "table.xlsx")
    sheet = load_workbook(tmp_path / "table.xlsx")["table"]
    assert sheet["AE1"].value == "a column named 29"
    assert sheet.column_dimensions["AE"].width >= len("a column named 29")


# ------------------------------------------------------------------------------------ whole files


@pytest.mark.parametrize("write", WRITERS)
def test_a_place_that_cannot_be_written_is_an_output_error(
    write: Callable[[pd.DataFrame, Path], None], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"x": [1]})
    (tmp_path / "a file").write_text("here")
    (tmp_path / "a folder").mkdir()
    for goal in (tmp_path / "nowhere" / "t", tmp_path / "a file" / "t", tmp_path / "a folder"):
        with pytest.raises(OutputError, match=f"cannot write .*{goal.name}"):
            write(frame, goal)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "a folder"]
    assert (tmp_path / "a file").read_text() == "here"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="no folder is closed to root")
def test_a_closed_folder_is_an_output_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied; choose a folder"):
        write_csv(pd.DataFrame({"x": [1]}), closed / "t.csv")


@pytest.mark.parametrize("write", WRITERS)
def test_an_existing_file_is_replaced_whole_and_nothing_else_is_left(
    write: Callable[[pd.DataFrame, Path], None], tmp_path: Path
) -> None:
    goal = tmp_path / "table"
    goal.write_bytes(b"old " * 100_000)
    write(pd.DataFrame({"x": [1]}), goal)
    assert b"old" not in goal.read_bytes()
    assert list(tmp_path.iterdir()) == [goal]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), OutputError), (KeyError("bug"), KeyError)],
)
def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_other(
    error: Exception, raised: type[Exception], tmp_path: Path
) -> None:
    goal = tmp_path / "table.csv"
    goal.write_text("old")

    def write_half() -> None:
        with whole_file(goal) as draft:
            draft.write_text("half of the n")
            raise error

    with pytest.raises(raised, match=r"No space left|bug"):
        write_half()
    assert goal.read_text() == "old"
    assert list(tmp_path.iterdir()) == [goal]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_has_the_permissions_of_any_other(
    umask: int, expected: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        write_csv(pd.DataFrame({"x": [1]}), tmp_path / "t.csv")
        assert os.umask(umask) == umask  # looking at it did not change it
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "t.csv").stat().st_mode) == expected


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    goal = tmp_path / "t.csv"
    goal.write_text("private")
    goal.chmod(0o600)
    write_csv(pd.DataFrame({"x": [1]}), goal)
    assert stat.S_IMODE(goal.stat().st_mode) == 0o600
