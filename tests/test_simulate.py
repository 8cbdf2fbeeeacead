"""The simulated book: repeatable, consistent with itself, and driven by one hidden quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import ModelError, OutputError
from credit_portfolio.limits import read_statements, working_asset_limits
from credit_portfolio.simulate import GRADES, INDUSTRIES, SimulatedBook, simulate_book

LEDGER_COLUMNS = [
    "customer_id", "invoice_id", "invoice_date", "due_date", "amount", "currency",
    "settled_date", "settled_amount", "written_off_amount", "disputed",
]  # fmt: skip


@pytest.fixture(scope="module")
def book() -> SimulatedBook:
    return simulate_book()


@pytest.fixture(scope="module")
def large_book() -> SimulatedBook:
    """Enough customers that groups of them can be compared."""
    return simulate_book(3_000, 250_000, seed=11)


def cents(money: pd.Series) -> np.ndarray:
    """Whole cents; fails when an amount is not one."""
    scaled = money.fillna(0).to_numpy() * 100
    whole = np.rint(scaled)
    np.testing.assert_allclose(scaled, whole, rtol=0, atol=1e-5)
    return whole.astype(np.int64)


def open_cents(invoices: pd.DataFrame) -> np.ndarray:
    return (
        cents(invoices["amount"])
        - cents(invoices["settled_amount"])
        - cents(invoices["written_off_amount"])
    )


# ------------------------------------------------------------------------------ repeatable


def test_the_same_seed_gives_the_same_book_and_another_seed_another() -> None:
    first, second, other = (simulate_book(30, 600, seed=seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(first.invoices, second.invoices)
    pd.testing.assert_frame_equal(first.statements, second.statements)
    pd.testing.assert_series_equal(first.current_exposure, second.current_exposure)
    assert not first.invoices["amount"].equals(other.invoices["amount"])
    assert first.seed == 5
    assert first.settings["n_customers"] == 30


def test_the_counts_are_exactly_those_asked_for(book: SimulatedBook) -> None:
    assert len(book.invoices) == 20_000
    assert book.invoices["customer_id"].nunique() == 200
    tiny = simulate_book(3, 3, seed=0)
    assert tiny.invoices["customer_id"].value_counts().tolist() == [1, 1, 1]


def test_amounts_follow_the_markup_and_nothing_else_changes() -> None:
    cheap, dear = (simulate_book(20, 500, seed=3, markup=markup) for markup in (0.0, 1.0))
    ratio = dear.invoices["amount"] / cheap.invoices["amount"]
    np.testing.assert_allclose(ratio, 2, rtol=1e-4)
    assert dear.invoices["settled_date"].equals(cheap.invoices["settled_date"])


# ------------------------------------------------------------------------------ the ledger


def test_the_invoices_have_the_canonical_columns(book: SimulatedBook) -> None:
    columns = [*LEDGER_COLUMNS, "industry", "region", "grade"]
    assert book.invoices.columns.tolist() == columns
    assert set(book.invoices["industry"]) == set(INDUSTRIES)
    assert set(book.invoices["grade"]) == set(GRADES)
    assert book.invoices["currency"].unique().tolist() == ["EUR"]


def test_ids_are_text_with_leading_zeros_and_no_invoice_stands_twice(book: SimulatedBook) -> None:
    assert book.invoices["customer_id"].str.fullmatch(r"C0\d{5}").all()
    assert book.invoices["invoice_id"].str.fullmatch(r"0\d{9}").all()
    assert book.invoices["invoice_id"].is_unique
    assert book.invoices.iloc[[0, 41]]["invoice_id"].tolist() == ["0000000001", "0000000042"]


def test_paid_and_written_off_never_exceed_the_amount(large_book: SimulatedBook) -> None:
    invoices = large_book.invoices
    assert (cents(invoices["amount"]) > 0).all()
    assert (cents(invoices["settled_amount"]) >= 0).all()
    assert (cents(invoices["written_off_amount"]) >= 0).all()
    remaining = open_cents(invoices)
    assert (remaining >= 0).all()
    # What was closed is closed to the cent: paid + written off = amount.
    lost = invoices["written_off_amount"] > 0
    assert (remaining[lost] == 0).all()
    assert invoices.loc[lost, "settled_date"].notna().all()
    assert invoices.loc[lost, "settled_amount"].notna().all()
    unpaid = invoices["settled_date"].isna()
    assert (invoices["settled_amount"].isna() == unpaid).all()
    assert (remaining[unpaid] == cents(invoices["amount"])[unpaid]).all()


def test_dates_are_in_order_and_none_is_after_the_export(large_book: SimulatedBook) -> None:
    invoices, as_of = large_book.invoices, large_book.as_of
    assert invoices["invoice_date"].is_monotonic_increasing
    assert invoices["invoice_date"].min() >= pd.Timestamp("2021-01-01")
    assert invoices["invoice_date"].max() <= as_of
    assert (invoices["due_date"] > invoices["invoice_date"]).all()
    terms = (invoices["due_date"] - invoices["invoice_date"]).dt.days
    assert set(terms) == {14, 30, 45, 60}
    assert (terms.groupby(invoices["customer_id"]).nunique() == 1).all()
    settled = invoices["settled_date"].dropna()
    assert settled.max() <= as_of
    assert (settled >= invoices.loc[settled.index, "invoice_date"]).all()
    assert large_book.statements["statement_date"].max() <= as_of - pd.Timedelta(days=120)
    assert (invoices["invoice_date"].dt.day_of_week < 5).mean() > 0.999


def test_a_later_export_of_the_same_book_only_adds_settlements() -> None:
    early, late = (
        simulate_book(60, 3_000, seed=9, as_of=day).invoices for day in ("2023-12-31", "2025-12-31")
    )
    pd.testing.assert_frame_equal(early[LEDGER_COLUMNS[:6]], late[LEDGER_COLUMNS[:6]])
    closed = open_cents(early) == 0
    pd.testing.assert_frame_equal(early[closed], late[closed])
    opened = ~closed & (open_cents(late) == 0)
    assert opened.sum() == (~closed).sum() > 50  # two years later everything is settled
    assert (late.loc[opened, "settled_date"] > pd.Timestamp("2023-12-31")).all()


def test_each_kind_of_outcome_occurs(book: SimulatedBook) -> None:
    invoices = book.invoices
    remaining = open_cents(invoices)
    paid, lost = invoices["settled_amount"].fillna(0), invoices["written_off_amount"]
    late = invoices["settled_date"] > invoices["due_date"]
    assert 0.25 < late.mean() < 0.55
    assert 0.02 < invoices["disputed"].mean() < 0.10
    assert 0.005 < lost.sum() / invoices["amount"].sum() < 0.05
    assert 0.02 < (remaining > 0).mean() < 0.10
    assert ((remaining > 0) & (paid > 0)).sum() > 10  # part paid, the rest open
    assert ((lost > 0) & (paid > 0)).sum() > 100  # a deduction, or a part recovered
    assert ((lost > 0) & (paid == 0)).sum() > 10  # lost in full
    counts = invoices["customer_id"].value_counts()
    assert counts.min() < 15
    assert counts.max() > 200


def test_disputes_are_paid_later_and_less(large_book: SimulatedBook) -> None:
    invoices = large_book.invoices[large_book.invoices["invoice_date"] < "2023-06-01"]
    days = (invoices["settled_date"] - invoices["due_date"]).dt.days
    by_dispute = days.groupby(invoices["disputed"]).mean()
    assert by_dispute[True] > by_dispute[False] + 15
    reduced = (invoices["written_off_amount"] > 0).groupby(invoices["disputed"]).mean()
    assert reduced[True] > 5 * reduced[False]


def test_exposure_is_what_is_open_to_the_cent(book: SimulatedBook) -> None:
    bookkeeper: dict[str, int] = {}
    remaining = open_cents(book.invoices)
    for name, number in zip(book.invoices["customer_id"], remaining, strict=True):
        bookkeeper[name] = bookkeeper.get(name, 0) + int(number)
    assert book.current_exposure.index.tolist() == sorted(bookkeeper)
    assert cents(book.current_exposure).tolist() == [bookkeeper[k] for k in sorted(bookkeeper)]
    assert book.current_exposure.index.name == "customer_id"
    assert book.current_shares.sum() == pytest.approx(1, abs=1e-12)
    assert book.current_shares.min() >= 0


def test_few_customers_hold_much_of_the_book(book: SimulatedBook) -> None:
    largest = book.current_shares.sort_values(ascending=False)
    assert 0.25 < largest.head(10).sum() < 0.75


# ------------------------------------------------------------------------------ the statements


def test_statements_are_read_as_they_are_and_never_contradict_themselves(
    large_book: SimulatedBook,
) -> None:
    limits = working_asset_limits(large_book.statements, as_of=large_book.as_of)
    assert set(limits["reason"]) <= {
        "rated", "net_worth_not_positive", "working_assets_not_positive", "missing_amount"
    }  # fmt: skip
    per_customer = large_book.statements["customer_id"].value_counts()
    assert set(per_customer) == {2, 3}
    sheets = large_book.statements
    np.testing.assert_array_equal(
        sheets["total_assets"], sheets["total_liabilities"] + sheets["net_worth"]
    )
    ends = sheets["statement_date"] + pd.Timedelta(days=1)
    assert (ends.dt.day == 1).all()


def test_some_customers_lack_a_statement_and_some_statements_a_customer(
    book: SimulatedBook,
) -> None:
    buyers, rated = set(book.invoices["customer_id"]), set(book.statements["customer_id"])
    assert 1 <= len(buyers - rated) <= 15
    assert 1 <= len(rated - buyers) <= 5
    assert (book.statements["net_worth"] <= 0).sum() >= 3


def test_the_limits_of_the_default_book_can_hold_its_exposure(book: SimulatedBook) -> None:
    limit = working_asset_limits(book.statements, as_of=book.as_of)["limit"]
    limit = limit.reindex(book.current_exposure.index).fillna(0)
    assert 1.5 < limit.sum() / book.current_exposure.sum() < 3
    assert 0.8 < (limit > 0).mean() < 1


# ------------------------------------------------------------------------------ the hidden causes


def test_weak_customers_pay_later_lose_more_and_show_it_in_their_statements(
    large_book: SimulatedBook,
) -> None:
    invoices = large_book.invoices
    groups = invoices.groupby("grade")
    loss = groups["written_off_amount"].sum() / groups["amount"].sum()
    late = (invoices["settled_date"] > invoices["due_date"]).groupby(invoices["grade"]).mean()
    grade = invoices.groupby("customer_id")["grade"].first()
    limits = working_asset_limits(large_book.statements)
    value = limits["evaluation_value"].groupby(grade.reindex(limits.index)).median()
    assert loss.index.tolist() == list(GRADES)
    assert loss.is_monotonic_increasing
    assert loss["E"] > 5 * loss["A"]
    assert late.is_monotonic_increasing
    assert value.is_monotonic_decreasing


def test_a_low_evaluation_value_goes_with_losses(large_book: SimulatedBook) -> None:
    money = large_book.invoices.groupby("customer_id")[["amount", "written_off_amount"]].sum()
    limits = working_asset_limits(large_book.statements)
    rated = limits[limits["percentage"].notna()].join(money, how="inner")
    classes = rated.groupby(rated["percentage"] >= 0.25)[["amount", "written_off_amount"]].sum()
    loss = classes["written_off_amount"] / classes["amount"]
    assert loss[False] > 1.5 * loss[True]


def test_industries_fail_together(large_book: SimulatedBook) -> None:
    invoices = large_book.invoices
    bad = invoices["written_off_amount"] > 0.25 * invoices["amount"]
    half = invoices["customer_id"].str[-1].astype(int) % 2  # two sets of customers, by id
    month = invoices["invoice_date"].dt.to_period("M")
    mature = invoices["invoice_date"] < "2023-06-01"
    rates = bad[mature].groupby([month[mature], invoices["industry"], half]).mean().unstack([1, 2])
    correlation = rates.corr()
    within = [correlation.loc[(name, 0), (name, 1)] for name in INDUSTRIES]
    across = [correlation.loc[(a, 0), (b, 1)] for a in INDUSTRIES for b in INDUSTRIES if a != b]
    assert np.mean(within) > np.mean(across) + 0.2
    assert np.mean(within) > 0.3


def test_returns_spread_from_total_loss_to_the_full_markup(book: SimulatedBook) -> None:
    invoices = book.invoices
    cost = invoices["amount"] / 1.25
    closed = open_cents(invoices) == 0
    returns = ((invoices["settled_amount"] - cost) / cost)[closed]
    assert returns.min() == pytest.approx(-1)
    assert returns.max() == pytest.approx(0.25)
    counts = np.histogram(returns, [-1, -0.5, 0, 0.15, 0.2, 0.2499, 0.2501])[0]
    assert (counts > 20).all()
    assert counts[-1] > 0.8 * counts.sum()


def test_sales_have_seasons(large_book: SimulatedBook) -> None:
    invoices = large_book.invoices
    months = invoices.groupby("industry")["invoice_date"].apply(
        lambda days: days.dt.month.value_counts(normalize=True).sort_index()
    )
    spread = months.groupby(level=0).max() / months.groupby(level=0).min()
    assert (spread > 1.3).all()


# ------------------------------------------------------------------------------ size and files


def test_a_million_invoices_are_drawn_as_arrays() -> None:
    book = simulate_book(10_000, 1_000_000, seed=1)
    assert len(book.invoices) == 1_000_000
    assert book.invoices["customer_id"].nunique() == 10_000
    assert book.invoices["invoice_id"].iloc[-1] == "0001000000"
    total = open_cents(book.invoices).sum()
    assert cents(book.current_exposure).sum() == total


def test_the_book_is_written_and_read_back(book: SimulatedBook, tmp_path: Path) -> None:
    invoices_file, statements_file = book.write(tmp_path / "new" / "folder")
    assert (invoices_file.name, statements_file.name) == ("invoices.csv", "statements.csv")
    dates = ["invoice_date", "due_date", "settled_date"]
    back = pd.read_csv(
        invoices_file, dtype={"customer_id": str, "invoice_id": str}, parse_dates=dates
    ).astype(dict.fromkeys(dates, "datetime64[s]"))
    pd.testing.assert_frame_equal(back, book.invoices, check_dtype=False)
    pd.testing.assert_frame_equal(
        working_asset_limits(read_statements(statements_file)),
        working_asset_limits(book.statements),
    )
    first = invoices_file.read_bytes()
    book.write(invoices_file.parent)
    assert invoices_file.read_bytes() == first
    assert b"\r" not in first


def test_a_write_that_fails_half_way_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = simulate_book(2, 4)

    def half(frame: pd.DataFrame, path: Path, **options: object) -> None:
        Path(path).write_text("customer_id,inv")
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(KeyboardInterrupt):
        book.write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_book_prints_as_one_line() -> None:
    assert repr(simulate_book(10, 400, seed=5)).startswith("SimulatedBook(400 invoices and ")
    assert repr(simulate_book(10, 400, seed=5)).endswith("as of 2023-12-31, seed 5)")


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="choose another folder"):
        simulate_book(2, 4).write(tmp_path / "taken")


# ------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_customers": 0}, "n_customers=0"),
        ({"n_customers": 10, "n_invoices": 9}, "n_invoices=9 — expected 10 or more"),
        ({"seed": -1}, "seed=-1"),
        ({"start": "2024-01-01"}, "expected them in this order"),
        ({"as_of": "2023-06-30"}, "expected them in this order"),
        ({"start": "soon"}, "start='soon' is not a date"),
        ({"end": pd.NaT}, "is not a date"),
        ({"currency": " "}, "currency=' '"),
        ({"markup": -0.1}, "markup=-0.1"),
        ({"markup": float("nan")}, "markup=nan"),
    ],
)
def test_an_argument_out_of_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        simulate_book(**options)  # type: ignore[arg-type]


def test_counts_are_whole_numbers() -> None:
    with pytest.raises(TypeError, match="n_invoices must be a whole number"):
        simulate_book(10, 100.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"n_customers": 1, "n_invoices": 1},
        {"start": "2023-12-30", "end": "2023-12-30"},  # a Saturday
        {"start": "2023-12-31", "end": "2023-12-31", "as_of": "2024-03-31"},
        {"n_customers": 149, "n_invoices": 200, "start": "2015-05-17", "end": "2023-02-03"},
    ],
)
def test_small_and_short_books_are_drawn_too(options: dict[str, object]) -> None:
    book = simulate_book(**{"n_customers": 5, "n_invoices": 40, **options})  # type: ignore[arg-type]
    assert (book.invoices["invoice_date"] <= book.as_of).all()
    assert len(working_asset_limits(book.statements)) >= 1
