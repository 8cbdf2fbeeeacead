"""Frames, CSV dialects and Parquet: the same book reads the same, or is refused with the reason."""

from __future__ import annotations

import datetime
import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.source import open_ledger

HEADER = "customer_id,invoice_id,invoice_date,due_date,amount"


def rows(*amounts: str, separator: str = ",") -> str:
    """Return CSV text of one customer with these amounts, as they stand."""
    lines = [HEADER.replace(",", separator)]
    for i, amount in enumerate(amounts, start=1):
        lines.append(separator.join(["C1", f"{i:04}", "2024-01-10", "2024-02-09", amount]))
    return "\n".join(lines) + "\n"


def total(ledger) -> Decimal:
    return ledger.quality.control_totals["money"]["amount"]


# --- dialects -----------------------------------------------------------------------------------


def test_a_plain_file_reads_and_ids_keep_their_zeros(csv_file):
    ledger = open_ledger(csv_file(rows("5.26", "1234.5")))
    assert list(ledger.to_frame()["invoice_id"]) == ["0001", "0002"]
    assert total(ledger) == Decimal("1239.76")
    assert "separator found in the header: ','" in " ".join(ledger.quality.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_and_line_ends_make_no_difference(csv_file, encoding, end):
    text = rows("5.26", "7.00").replace("\n", end)
    assert total(open_ledger(csv_file(text, encoding=encoding))) == Decimal("12.26")


def test_a_quoted_header_after_a_byte_order_mark_reads(csv_file):
    text = rows("5.26").replace("customer_id", '"customer_id"').replace("amount", '"amount"')
    assert open_ledger(csv_file(text, encoding="utf-8-sig")).n_invoices == 1


def test_gzip_reads_by_its_content_not_its_name(tmp_path):
    for name in ("book.csv.gz", "book.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(rows("5.26").encode()))
        assert total(open_ledger(path)) == Decimal("5.26")


def test_semicolons_with_decimal_comma_read_right(csv_file):
    text = rows("1.234,56", "0,5", "1.000", "12", "1.234.567,8", "5,1234", separator=";")
    ledger = open_ledger(csv_file(text))
    amounts = ["1234.56", "0.5", "1000", "12", "1234567.8", "5.1234"]
    assert list(ledger.to_frame()["amount"]) == [Decimal(amount) for amount in amounts]
    assert "decimal mark ','" in " ".join(ledger.quality.notes)


def test_thousands_commas_with_decimal_point_read_right(csv_file):
    ledger = open_ledger(csv_file(rows('"1,234.56"', '"1,000"', "0.125")))
    assert total(ledger) == Decimal("2234.685")


@pytest.mark.parametrize("amounts", [("1.234",), ("1.234", "500"), ("1,234", "2,500", "7")])
def test_figures_that_fit_both_readings_are_refused(csv_file, amounts):
    path = csv_file(rows(*amounts, separator=";"))
    with pytest.raises(DataError, match=r"decimal mark .* is not clear.*pass decimal="):
        open_ledger(path)
    assert open_ledger(path, decimal=",").quality.rows_rejected == 0
    sums = {mark: total(open_ledger(path, decimal=mark)) for mark in ".,"}
    assert sums["."] != sums[","]


def test_as_many_points_as_commas_are_refused(csv_file):
    path = csv_file(rows("12.50", "12,50", separator=";"))
    with pytest.raises(DataError, match=r"1 figures can only be read with '.', 1 only with ','"):
        open_ledger(path)


def test_a_few_figures_with_the_other_mark_are_rejected_and_so_are_unsure_ones(csv_file):
    ledger = open_ledger(csv_file(rows("12.50", "3.75", "12,50", "1.234", separator=";")))
    assert list(ledger.quality.rejected["row"]) == [3, 4]
    assert total(ledger) == Decimal("16.25")
    assert "other decimal mark" in " ".join(ledger.quality.notes)


def test_a_lone_thousands_mark_without_a_sure_one_in_the_file_is_rejected(csv_file):
    ledger = open_ledger(csv_file(rows("12.50", '"1,234"')))
    assert list(ledger.quality.rejected["rule"]) == ["amount_not_a_number"]
    assert total(ledger) == Decimal("12.50")


@pytest.mark.parametrize(
    "amount", ["1.23.4", "12.34,56", "1,23,456", "1.234,567.8", "1 234", "1'000", "+-5", "."]
)
def test_figures_that_fit_no_reading_are_rejected(csv_file, amount):
    quality = open_ledger(csv_file(rows("7.50", "8.25", f'"{amount}"'))).quality
    assert list(quality.rejected["row"]) == [3]


def test_zeros_beyond_the_fourth_decimal_lose_nothing(csv_file):
    assert total(open_ledger(csv_file(rows("5.250000")))) == Decimal("5.25")


def test_quoted_fields_hold_separators_line_breaks_and_quotes(csv_file):
    text = HEADER + ',note\n"C;1",1,2024-01-10,2024-02-09,5.00,"a, b\nc ""d"""\n'
    frame = open_ledger(csv_file(text)).to_frame()
    assert frame["customer_id"][0] == "C;1"
    assert frame["note"][0] == 'a, b\nc "d"'


def test_rows_with_the_wrong_number_of_fields_are_rejected_rows(csv_file):
    lines = rows("5.00", "6.00", "x", "8.00").splitlines()
    lines[2] = 'C1,"two\nlines",2024-01-10'
    lines.insert(4, "")
    lines.append("C1,0009,2024-01-10,2024-02-09,9.00,extra")
    quality = open_ledger(csv_file("\n".join(lines))).quality
    assert quality.rows_read == 5
    assert (quality.rows_accepted, quality.rows_rejected) == (2, 3)
    assert list(quality.rejected["row"]) == [2, 3, 5]
    assert list(quality.rejected["rule"]) == [
        "malformed_row",
        "amount_not_a_number",
        "malformed_row",
    ]
    assert quality.rejected["reason"][0].startswith("3 fields where the header has 5: ")
    assert "two" in quality.rejected["reason"][0]
    assert "extra" in quality.rejected["reason"][2]
    assert quality.rows_without_readable_amount == 3


def test_row_numbers_hold_over_many_blocks(csv_file):
    good = "C1,{0},2024-01-10,2024-02-09,5.00,{1}"
    lines = [HEADER + ",note"]
    filler = "x" * 2000
    bad = set(range(500, 12_000, 500))
    for number in range(1, 12_001):
        line = good.format(number, filler)
        lines.append("short,row" if number in bad else line)
    lines[6001] = lines[6001].replace("5.00", "five")
    quality = open_ledger(csv_file("\n".join(lines))).quality
    assert quality.rows_read == 12_000
    assert set(quality.rejected["row"]) == bad | {6001}
    odd = quality.rejected[quality.rejected["rule"] == "amount_not_a_number"]
    assert list(odd["invoice_id"]) == ["6001"]


def test_when_all_rows_are_malformed_it_is_an_error_with_each(csv_file):
    with pytest.raises(DataError, match="all 2 rows") as caught:
        open_ledger(csv_file(HEADER + "\na,b\nc,d\n"))
    assert len(caught.value.failures) == 2


def test_a_quote_that_is_never_closed_loses_no_row_in_silence(csv_file):
    text = rows("5.00") + 'C1,"0002,2024-01-10,2024-02-09,6.00\n'
    quality = open_ledger(csv_file(text)).quality
    assert list(quality.rejected["rule"]) == ["malformed_row"]


@pytest.mark.parametrize("separator", ["\t", "|"])
def test_tabs_and_bars_are_found_too(csv_file, separator):
    assert open_ledger(csv_file(rows("5.00", separator=separator))).n_invoices == 1


def test_a_given_separator_that_is_wrong_names_the_split(csv_file):
    path = csv_file(rows("5.00"))
    with pytest.raises(DataError, match=r"split at ';'.*has no column 'customer_id'"):
        open_ledger(path, separator=";")
    assert open_ledger(path, separator=",").n_invoices == 1


def test_separators_inside_names_do_not_mislead(csv_file):
    text = rows("5,00", separator=";").replace("amount", "amount;a,b,c,d,e,f,g")
    text = text.replace("5,00", "5,00;x")
    assert open_ledger(csv_file(text)).groups == ("a,b,c,d,e,f,g",)


# --- files that cannot be read ------------------------------------------------------------------


def test_a_file_that_does_not_exist_is_named_with_a_near_one(csv_file):
    path = csv_file(rows("5.00"))
    with pytest.raises(DataError, match=r"bok.csv' does not exist.*Did you mean 'book.csv'"):
        open_ledger(path.with_name("bok.csv"))
    with pytest.raises(DataError, match="is a folder") as caught:
        open_ledger(path.parent)
    assert "Did you mean" not in str(caught.value)
    (path.parent / "nofile").mkdir()
    with pytest.raises(DataError, match="does not exist") as caught:
        open_ledger(path.with_name("nofile.csv"))
    assert "Did you mean" not in str(caught.value)  # a folder is no ledger
    with pytest.raises(DataError, match="does not exist"):
        open_ledger("nowhere/at all.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "no header"),
        (b"\xef\xbb\xbf", "no header"),
        (HEADER.encode(), "no rows below"),
        (HEADER.encode() + b"\n\n\n", "no rows below"),
        (rows("5.00").replace("C1", "M\u00fcller").encode("latin-1"), "not UTF-8.*line 2"),
        (rows("5.00").encode("utf-16"), "not UTF-8"),
        (gzip.compress(rows("5.00").encode(), mtime=0)[:-12], "cannot be read"),
        (b"PAR1 and no more", "cannot be read"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
        (
            gzip.compress(rows("5.00").replace("C1", "M\u00fc").encode("latin-1"), mtime=0),
            "not UTF-8",
        ),
    ],
)
def test_unreadable_files_are_data_errors(tmp_path, content, words):
    path = tmp_path / "book.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        open_ledger(path)


def test_other_kinds_of_source_are_type_errors():
    with pytest.raises(TypeError, match=r"source is a DataFrame, a path, .*, not list"):
        open_ledger([1, 2])


def test_names_with_pattern_characters_are_plain_names(csv_file):
    csv_file(rows("1.00", "2.00"), "a1.csv")
    assert open_ledger(csv_file(rows("5.00"), "a[1]*'.csv")).n_invoices == 1


# --- columns ------------------------------------------------------------------------------------


def test_a_missing_column_is_named_with_those_found(csv_file):
    path = csv_file(rows("5.00").replace("due_date", "due_dat"))
    with pytest.raises(DataError, match=r"no column 'due_date'; found .*Did you mean 'due_dat'"):
        open_ledger(path)


@pytest.mark.parametrize("second", ["amount", "Amount", " AMOUNT  "])
def test_a_doubled_column_is_an_error(csv_file, second):
    path = csv_file(rows("5.00").replace("amount", f"amount,{second}").replace("5.00", "5.00,6.00"))
    with pytest.raises(DataError, match="has the column 'amount' 2 times"):
        open_ledger(path)


def test_a_doubled_column_of_a_frame_is_an_error(book):
    frame = book({})
    with pytest.raises(DataError, match="'region' 2 times"):
        open_ledger(pd.concat([frame, frame[["region"]]], axis=1))


def test_a_nameless_column_is_an_error(csv_file):
    with pytest.raises(DataError, match=r"column 1 of .* has no name"):
        open_ledger(csv_file(rows("5.00").replace("customer_id", ",customer_id")))


def test_case_and_space_of_column_names_do_not_count(csv_file):
    text = rows("5.00").replace("customer_id", " Customer_ID ")
    assert open_ledger(csv_file(text)).n_invoices == 1


@pytest.mark.parametrize("name", ["open", "Collected", "written_off"])
def test_a_grouping_column_named_like_a_derived_one_is_an_error(book, name):
    with pytest.raises(DataError, match=f"extra columns '{name}'"):
        open_ledger(book({}).rename(columns={"region": name}))


def test_a_misspelt_settlement_column_is_not_taken_for_a_group(book):
    with pytest.raises(DataError, match="'settled_dat' and none called 'settled_date'"):
        open_ledger(book({}).rename(columns={"settled_date": "settled_dat"}))


def test_absent_settlements_are_noted(book):
    frame = book({})[["customer_id", "invoice_id", "invoice_date", "due_date", "amount"]]
    ledger = open_ledger(frame)
    assert ledger.n_open == 1
    assert "every invoice counts as open" in " ".join(ledger.quality.notes)


def test_all_other_columns_are_groups_as_they_are(book):
    frame = book({}, {}).assign(grade=[3, 4], **{"a b;\"c'": ["x", "y"], "Ödön": [1.5, None]})
    ledger = open_ledger(frame)
    assert ledger.groups == ("region", "grade", "a b;\"c'", "Ödön")
    assert list(ledger.to_frame()["grade"]) == [3, 4]
    assert list(ledger.ageing(by="a b;\"c'")["total"]) == [100, 100]


# --- frames, files and Parquet agree ------------------------------------------------------------


def typed(book) -> pd.DataFrame:
    frame = book(
        {"settled_date": "2024-02-01", "settled_amount": "40.10", "disputed": "yes"},
        {"customer_id": "0042", "amount": "0.0001", "region": ""},
        {"amount": "12345678901.25", "settled_date": "2024-02-20", "written_off_amount": "0.25"},
        {"amount": "-1"},
        {"due_date": "2024-01-01"},
    )
    for name in ("invoice_date", "due_date", "settled_date"):
        frame[name] = pd.to_datetime(frame[name].replace("", None))
    for name in ("amount", "settled_amount", "written_off_amount"):
        frame[name] = [Decimal(text) if text else None for text in frame[name]]
    frame["disputed"] = frame["disputed"] == "yes"
    return frame


def test_the_same_book_reads_the_same_from_every_source(book, tmp_path):
    frame = typed(book)
    frame.to_csv(tmp_path / "a.csv", index=False)
    german = frame.copy()
    for name in ("amount", "settled_amount", "written_off_amount"):
        german[name] = ["" if x is None else str(x).replace(".", ",") for x in frame[name]]
    german.to_csv(tmp_path / "b.csv", index=False, sep=";", encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "c.parquet")
    sources = [frame, *(tmp_path / name for name in ("a.csv", "b.csv", "c.parquet"))]
    ledgers = [open_ledger(source, as_of="2024-02-10") for source in sources]
    first = ledgers[0]
    assert first.quality.control_totals["money"]["amount"] == Decimal("12345679001.2501")
    for other in ledgers[1:]:
        columns = list(first.to_frame())[:10]
        left, right = first.to_frame()[columns], other.to_frame()[columns]
        pd.testing.assert_frame_equal(left, right)
        pd.testing.assert_frame_equal(
            first.quality.control_totals, other.quality.control_totals, check_exact=True
        )
        pd.testing.assert_series_equal(first.exposure(), other.exposure())
        assert list(other.quality.rejected["rule"]) == [
            "amount_not_positive",
            "due_before_invoiced",
        ]
        assert other.quality.amount_read == first.quality.amount_read


@pytest.mark.parametrize("dtype", ["int64", "Int64", "uint8", "object"])
def test_whole_number_ids_become_text(book, dtype):
    frame = book({"invoice_id": "1"}, {"invoice_id": "20"})
    frame["invoice_id"] = frame["invoice_id"].astype(int).astype(dtype)
    assert list(open_ledger(frame).to_frame()["invoice_id"]) == ["1", "20"]


@pytest.mark.parametrize(
    "ids", [[1.0, 2.0], [1.0, None], ["1", 2.0], [True, False], [pd.Timestamp("2024-01-01")] * 2]
)
def test_ids_that_are_not_text_or_whole_numbers_are_an_error(book, ids):
    frame = book({}, {}).assign(customer_id=pd.Series(ids))
    with pytest.raises(DataError, match=r"customer_id .*expected text or whole numbers"):
        open_ledger(frame)


def test_a_parquet_file_with_float_ids_is_an_error(book, tmp_path):
    book({}).assign(invoice_id=[1.0]).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"invoice_id .*float64"):
        open_ledger(tmp_path / "a.parquet")


def test_cells_of_mixed_types_read_as_what_they_are(book):
    frame = book({}, {}, {}, {}, {}, {})
    frame["amount"] = pd.Series(
        [1, 2.5, Decimal("3.25"), "4.75", None, np.float64("inf")], dtype=object
    )
    frame["invoice_date"] = pd.Series(
        [datetime.date(2024, 1, 10), pd.Timestamp("2024-01-10"), "2024-01-10"] * 2, dtype=object
    )
    frame["disputed"] = pd.Series([True, None, "no", False, "yes", 1], dtype=object)
    ledger = open_ledger(frame)
    assert list(ledger.quality.rejected["row"]) == [5, 6]
    assert total(ledger) == Decimal("11.50")
    assert list(ledger.to_frame()["disputed"]) == [True, False, False, False]


def test_decimals_that_are_no_numbers_and_ids_in_bytes_read_as_what_they_are(book):
    frame = book({}, {}, {}).assign(invoice_id=[b"01", b"02", b"03"])
    cells = [Decimal("Infinity"), Decimal("NaN"), Decimal("1E+3")]
    frame["amount"] = pd.Series(cells, dtype=object)
    ledger = open_ledger(frame)
    assert list(ledger.quality.rejected["rule"]) == ["amount_not_a_number"] * 2
    assert list(ledger.to_frame()["invoice_id"]) == ["03"]
    assert total(ledger) == Decimal(1000)


def test_columns_of_odd_types_stay_groups(book):
    frame = book({}, {}).assign(
        month=pd.period_range("2024-01", periods=2, freq="M"),
        tags=[["a"], None],
        wait=pd.to_timedelta([1, 2], unit="D"),
        many=[10**30, 1],
    )
    ledger = open_ledger(frame)
    assert ledger.groups == ("region", "month", "tags", "wait", "many")
    for name in ledger.groups:
        assert ledger.ageing(by=name)["total"].sum() == 200


def test_categories_and_flags_with_gaps_read(book):
    frame = book({}, {}, {}, {}, {})
    frame["customer_id"] = frame["customer_id"].astype("category")
    frame["disputed"] = [1.0, 0.0, np.nan, np.inf, 0.5]
    ledger = open_ledger(frame)
    assert list(ledger.quality.rejected["rule"]) == ["unknown_disputed_word"] * 2
    assert list(ledger.to_frame()["disputed"]) == [True, False, False]


def test_times_of_day_are_dropped_and_found(book):
    frame = book({})
    frame["invoice_date"] = pd.to_datetime(["2024-01-10 23:30"])
    ledger = open_ledger(frame)
    assert ledger.to_frame()["invoice_date"][0] == pd.Timestamp("2024-01-10")
    assert list(ledger.quality.findings["finding"]) == ["time_of_day_dropped"]


def test_times_of_day_in_text_are_dropped_and_found_but_midnight_is_none(book):
    texts = ["2024-01-10 23:30", "2024-01-10 00:00", "2024-01-10 0:00", "2024-01-10", "never"]
    frame = book(*({"invoice_date": text} for text in texts))
    ledger = open_ledger(frame, date_format=("%Y-%m-%d", "%Y-%m-%d %H:%M"))
    assert list(ledger.quality.rejected["row"]) == [5]
    assert set(ledger.to_frame()["invoice_date"]) == {pd.Timestamp("2024-01-10")}
    found = ledger.quality.findings.set_index("finding")
    assert found["rows"].to_dict() == {"time_of_day_dropped": 1}
    assert found["amount"].to_dict() == {"time_of_day_dropped": 100}


def test_times_with_a_zone_are_an_error(book):
    frame = book({})
    frame["due_date"] = pd.to_datetime(["2024-02-09"]).tz_localize("Asia/Shanghai")
    with pytest.raises(DataError, match=r"due_date .* with the zone"):
        open_ledger(frame)


@pytest.mark.parametrize(("name", "cells"), [("amount", [True]), ("amount", [pd.Timestamp(0)])])
def test_money_that_is_no_number_by_its_type_is_an_error(book, name, cells):
    with pytest.raises(DataError, match="amount of the DataFrame has type"):
        open_ledger(book({}).assign(**{name: cells}))


def test_the_frame_of_the_caller_is_left_alone(book):
    frame = book({"customer_id": " C1"}, {})
    before = frame.copy(deep=True)
    open_ledger(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_an_empty_frame_is_an_error(book):
    with pytest.raises(DataError, match="0 rows"):
        open_ledger(book({}).iloc[:0])
    with pytest.raises(DataError, match="0 columns"):
        open_ledger(pd.DataFrame())


def test_an_empty_parquet_file_is_an_error(book, tmp_path):
    book({}).iloc[:0].to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no rows"):
        open_ledger(tmp_path / "a.parquet")


def test_a_frame_with_columns_in_levels_is_an_error(book):
    frame = book({})
    frame.columns = pd.MultiIndex.from_product([["a"], frame.columns])
    with pytest.raises(DataError, match="2 levels"):
        open_ledger(frame)


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"as_of": "30.09.2013"}, "as_of is '30.09.2013'"),
        ({"as_of": "2013-02-30"}, "as_of is '2013-02-30'"),
        ({"as_of": pd.NaT}, "NaT"),
        ({"currency": "  "}, "currency is blank"),
        ({"decimal": ";"}, "decimal is ';'"),
        ({"separator": ",,"}, "separator is ',,'"),
        ({"separator": ","}, "the source is a DataFrame"),
        ({"date_format": "%d.%m"}, "needs one of %Y %y"),
        ({"date_format": "%d.%m.%Q"}, "holds '%Q'"),
        ({"date_format": ()}, "date_format is empty"),
        ({"profile": "imb"}, "Did you mean 'ibm'"),
    ],
)
def test_options_that_cannot_be_met_are_model_errors(book, options, words):
    with pytest.raises(ModelError, match=words):
        open_ledger(book({}), **options)


def test_options_that_the_source_does_not_need_are_model_errors(book, tmp_path):
    frame = typed(book)
    with pytest.raises(ModelError, match="decimal is for money written as text"):
        open_ledger(frame, decimal=".")
    with pytest.raises(ModelError, match="date_format is for dates written as text"):
        open_ledger(frame, date_format="%Y-%m-%d")
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ModelError, match="is Parquet: leave it out"):
        open_ledger(tmp_path / "a.parquet", separator=";")


@pytest.mark.parametrize(("option", "value"), [("as_of", 20130930), ("currency", 5)])
def test_options_of_the_wrong_type_are_type_errors(book, option, value):
    with pytest.raises(TypeError, match=option):
        open_ledger(book({}), **{option: value})


@pytest.mark.parametrize(
    "day",
    [
        "2024-01-15",
        datetime.date(2024, 1, 15),
        datetime.datetime(2024, 1, 15, 8),
        pd.Timestamp("2024-01-15 23:00"),
        np.datetime64("2024-01-15"),
    ],
)
def test_as_of_is_a_day_in_any_usual_form(book, day):
    assert open_ledger(book({}), as_of=day).as_of == datetime.date(2024, 1, 15)


def test_a_date_format_overrides_the_profile(book):
    frame = book({}).assign(invoice_date="10.01.2024", due_date="9.2.2024")
    ledger = open_ledger(frame, date_format="%d.%m.%Y")
    assert ledger.to_frame()["due_date"][0] == pd.Timestamp("2024-02-09")


def test_a_text_that_two_formats_read_as_two_days_is_rejected(book):
    frame = book({}, {}, {}).assign(
        invoice_date=["01/02/2024", "31/01/2024", "03/03/2024"], due_date="25/12/2024"
    )
    ledger = open_ledger(frame, date_format=["%d/%m/%Y", "%m/%d/%Y"])
    assert list(ledger.quality.rejected["row"]) == [1]


def test_the_readers_own_leniency_with_years_is_not_ours(book):
    frame = book({}, {}).assign(invoice_date=["1/2/24", "1/2/2024"], due_date="3/4/2024")
    assert list(open_ledger(frame, date_format="%m/%d/%Y").quality.rejected["row"]) == [1]


def test_two_ledgers_share_nothing(book):
    one, two = open_ledger(book({})), open_ledger(book({}, {}))
    assert (len(one.to_frame()), len(two.to_frame())) == (1, 2)


def test_opening_prints_nothing(book, capfd):
    open_ledger(book({})).exposure()
    assert capfd.readouterr() == ("", "")


def test_a_path_may_be_text(csv_file):
    assert isinstance(csv_file(rows("5.00")), Path)
    assert open_ledger(str(csv_file(rows("5.00")))).n_invoices == 1
