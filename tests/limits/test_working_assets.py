"""The working-asset model against exact fractions, real statements, and its own promises."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor, inf, nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.limits import (
    WORKING_ASSET_TABLE,
    WORKING_ASSET_TABLE_OF_SYSTEM,
    LimitReason,
    WorkingAssetTable,
    working_asset_limits,
)
from credit_portfolio.limits.working_assets import Rounding

AMOUNTS = ["current_assets", "inventory", "current_liabilities", "total_liabilities", "net_worth"]
COLUMNS = ["customer_id", "statement_date", *AMOUNTS]

# current assets, inventory, current liabilities, total liabilities, net worth -> percentage, limit
WORKED = [
    ((2400, 800, 1200, 1800, 1500), Fraction(25, 100), Fraction("337.50")),
    ((3000, 1200, 2000, 3200, 1600), Fraction(15, 100), Fraction("195.00")),
    ((1000, 400, 900, 1500, 600), Fraction(10, 100), Fraction("35.00")),
    ((5000, 2000, 5000, 6000, 1000), Fraction(0), Fraction(0)),
    ((500, 100, 900, 1500, -200), None, Fraction(0)),
]

EXACT_CLASSES = [
    (Fraction("-4.6"), Fraction(0)),
    (Fraction("-3.9"), Fraction(25, 1000)),
    (Fraction("-3.2"), Fraction(50, 1000)),
    (Fraction("-2.5"), Fraction(75, 1000)),
    (Fraction("-1.8"), Fraction(100, 1000)),
    (Fraction("-1.1"), Fraction(125, 1000)),
    (Fraction("-0.4"), Fraction(150, 1000)),
    (Fraction("0.3"), Fraction(175, 1000)),
    (Fraction("1.0"), Fraction(200, 1000)),
]


def sheet(*rows: tuple[object, ...], ids: list[object] | None = None) -> pd.DataFrame:
    """Statements of 2023, one customer a row."""
    names = ids if ids is not None else [f"C{k}" for k in range(len(rows))]
    frame = pd.DataFrame(list(rows), columns=AMOUNTS)
    frame.insert(0, "statement_date", "2023-12-31")
    frame.insert(0, "customer_id", names)
    return frame


def one(*amounts: object, **options: object) -> pd.Series:
    return working_asset_limits(sheet(amounts), **options).iloc[0]  # type: ignore[arg-type]


def exact_evaluation(ca: int, inv: int, cl: int, tl: int, nw: int) -> Fraction:
    return Fraction(ca, cl) + Fraction(ca - inv, cl) - Fraction(cl, nw) - Fraction(tl, nw)


def exact_percentage(value: Fraction) -> Fraction:
    for bound, percentage in EXACT_CLASSES:
        if value <= bound:
            return percentage
    return Fraction(25, 100)


def exact_limit(ca: int, inv: int, cl: int, tl: int, nw: int) -> Fraction:
    worth = Fraction(ca - cl + nw, 2)
    if nw <= 0 or worth <= 0 or (ca == 0 and cl == 0):
        return Fraction(0)
    percentage = (
        Fraction(25, 100) if cl == 0 else exact_percentage(exact_evaluation(ca, inv, cl, tl, nw))
    )
    return percentage * worth


# A consistent statement: inventory within current assets, current within total liabilities.
consistent = st.integers(0, 5000).flatmap(
    lambda ca: st.integers(0, 5000).flatmap(
        lambda tl: st.tuples(
            st.just(ca),
            st.integers(0, ca),
            st.integers(0, tl),
            st.just(tl),
            st.integers(-500, 5000),
        )
    )
)


# ------------------------------------------------------------------------------ known figures


@pytest.mark.parametrize(("amounts", "percentage", "limit"), WORKED)
def test_the_worked_statements_come_out_to_the_cent(
    amounts: tuple[int, ...], percentage: Fraction | None, limit: Fraction
) -> None:
    row = one(*amounts)
    assert row["limit"] == float(limit)
    assert exact_limit(*amounts) == limit
    if percentage is None:
        assert row["reason"] == "net_worth_not_positive"
        assert pd.isna(row["class"])
        assert np.isnan(row["percentage"])
        assert row["evaluation_value"] == pytest.approx(13.0)  # the trap: it would be the top class
    else:
        assert row["percentage"] == pytest.approx(float(percentage))


def test_each_figure_of_the_first_worked_statement_stands_in_its_column() -> None:
    row = one(2400, 800, 1200, 1800, 1500)
    expected = {
        "working_capital": 1200, "working_assets": 1350, "current_ratio": 2, "quick_ratio": 4 / 3,
        "current_liabilities_to_net_worth": 0.8, "total_liabilities_to_net_worth": 1.2,
        "evaluation_value": 4 / 3, "percentage": 0.25, "net_worth": 1500,
    }  # fmt: skip
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-12), name
    assert row["class"] == "low"
    assert row["reason"] == LimitReason.RATED
    assert row["statement_date"] == pd.Timestamp("2023-12-31")
    assert "1,350.00" in row["explanation"]
    assert "337.50" in row["explanation"]


@pytest.fixture(scope="module")
def us_limits(us_statements_csv: Path) -> pd.DataFrame:
    """Limits on each US firm's last year, with its label beside them."""
    raw = pd.read_csv(us_statements_csv).rename(
        columns={
            "firm_id": "customer_id",
            "fiscal_year": "statement_date",
            "total_current_liabilities": "current_liabilities",
        }
    )
    failed = raw.groupby("customer_id")["status_label"].first() == "failed"
    return working_asset_limits(raw).assign(failed=failed)


def test_the_us_firms_fall_into_the_published_classes(us_limits: pd.DataFrame) -> None:
    classes = us_limits.groupby("percentage")["failed"].agg(["size", "mean"])
    assert len(us_limits) == 1639
    assert classes.loc[0.25, "size"] == 776
    assert classes.loc[0.25, "mean"] == pytest.approx(0.028, abs=0.0005)
    assert classes.loc[0.0, "size"] == 160
    assert classes.loc[0.0, "mean"] == pytest.approx(0.21, abs=0.005)
    unratable = us_limits[us_limits["reason"] == "net_worth_not_positive"]
    assert len(unratable) == 259
    assert unratable["failed"].mean() == pytest.approx(0.185, abs=0.0005)
    assert us_limits["percentage"].isna().sum() == 259  # no firm is lost to the consistency checks


def test_a_us_firm_with_a_limit_fails_far_less_often_than_one_without(
    us_limits: pd.DataFrame,
) -> None:
    granted = us_limits["limit"] > 0
    assert us_limits.loc[granted, "failed"].mean() < 0.06
    assert us_limits.loc[~granted, "failed"].mean() > 0.18
    # Working assets can be negative in any class: the class is kept, the limit is not.
    capless = us_limits[us_limits["reason"] == "working_assets_not_positive"]
    assert len(capless) == 51
    assert (capless["limit"] == 0).all()
    assert capless["class"].notna().all()


def test_the_us_firms_agree_with_exact_fractions(
    us_limits: pd.DataFrame, us_statements_csv: Path
) -> None:
    raw = pd.read_csv(us_statements_csv).sort_values("fiscal_year").groupby("firm_id").tail(1)
    for row in raw.head(300).itertuples():
        ca, inv, cl = map(
            Fraction, (row.current_assets, row.inventory, row.total_current_liabilities)
        )
        tl, nw = Fraction(row.total_liabilities), Fraction(row.total_assets - row.total_liabilities)
        worth = (ca - cl + nw) / 2
        expected = Fraction(0)
        if nw > 0 and worth > 0:
            expected = worth * exact_percentage(ca / cl + (ca - inv) / cl - cl / nw - tl / nw)
        found = us_limits.loc[row.firm_id, "limit"]
        # The file's figures are binary here: an exact cent may be missed by their last digits.
        assert expected - Fraction("0.01") < Fraction(found) < expected + Fraction("1e-9")
        assert round(found * 100) / 100 == found


# ------------------------------------------------------------------------------ the table


@pytest.mark.parametrize("table", [WORKING_ASSET_TABLE, WORKING_ASSET_TABLE_OF_SYSTEM])
def test_the_published_gaps_are_closed(table: WorkingAssetTable) -> None:
    found = [table.percentages[k] for k in table.classify([-3.895, 0.305, -0.395, 0.95])]
    assert found == [0.05, 0.20, 0.175, 0.20]


def test_a_value_on_a_bound_belongs_below_also_in_floating_point() -> None:
    sums = [0.1 + 0.2, 0.3, np.nextafter(0.3, 1), 0.300001]
    assert 0.1 + 0.2 > 0.3
    assert WORKING_ASSET_TABLE.classify(sums).tolist() == [7, 7, 7, 8]
    for number, bound in enumerate(WORKING_ASSET_TABLE.upper_bounds[:-1]):
        assert WORKING_ASSET_TABLE.classify([bound, bound + 1e-6]).tolist() == [number, number + 1]


def test_a_statement_whose_evaluation_value_is_three_tenths_is_in_the_lower_class() -> None:
    values = [
        (ca, inv, 100, tl, 100)
        for ca in range(100, 300, 3)
        for inv in range(0, 100, 10)
        for tl in range(100, 300, 7)
        if exact_evaluation(ca, inv, 100, tl, 100) == Fraction(3, 10)
    ]
    assert len(values) > 20
    limits = working_asset_limits(sheet(*values))
    assert (limits["percentage"] == 0.175).all()


def test_the_other_published_table_differs_in_labels_and_at_one() -> None:
    first, second = WORKING_ASSET_TABLE, WORKING_ASSET_TABLE_OF_SYSTEM
    assert first.percentages == second.percentages
    grid = np.round(np.arange(-600, 300) / 100, 2)
    differs = grid[first.classify(grid) != second.classify(grid)]
    assert differs.tolist() == [1.0]
    labels = [(table.labels[3], table.labels[5]) for table in (first, second)]
    assert labels == [("fairly high", "fairly high"), ("high", "limited")]


def test_two_decimals_rounds_before_it_compares() -> None:
    def classes(rounding: Rounding) -> list[int]:
        values = [0.304, 0.305, -4.604, -3.895]
        return WORKING_ASSET_TABLE.classify(values, rounding=rounding).tolist()

    assert classes("continuous") == [8, 8, 0, 2]
    assert classes("two_decimals") == [7, 8, 0, 1]


def test_a_half_hundredth_is_rounded_away_from_zero_also_in_floating_point() -> None:
    assert 1.005 * 100 < 100.5
    halves = [bound + 0.005 for bound in WORKING_ASSET_TABLE.upper_bounds[:-1]]
    found = WORKING_ASSET_TABLE.classify(halves, rounding="two_decimals").tolist()
    assert found == [0, 1, 2, 3, 4, 5, 6, 8, 9]  # −4.595 becomes −4.60, 1.005 becomes 1.01


@given(st.integers(-70_000, 30_000))
def test_two_decimals_agrees_with_decimal_arithmetic(ten_thousandths: int) -> None:
    exact = Decimal(ten_thousandths) / 10_000
    rounded = Fraction(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))
    found = WORKING_ASSET_TABLE.classify([float(exact)], rounding="two_decimals")[0]
    assert WORKING_ASSET_TABLE.percentages[found] == float(exact_percentage(rounded))


@given(st.floats(allow_nan=False))
def test_each_evaluation_value_belongs_to_exactly_one_class(value: float) -> None:
    bounds = (-inf, *WORKING_ASSET_TABLE.upper_bounds)
    held = [
        k
        for k, (low, high) in enumerate(pairwise(bounds))
        if (k == 0 or value > low + 1e-9) and value <= high + 1e-9
    ]
    assert WORKING_ASSET_TABLE.classify([value]).tolist() == held


def test_a_table_of_ones_own_is_used() -> None:
    own = WorkingAssetTable((0.0, inf), (0.01, 0.5), ("watch", "fine"), "house rules")
    row = one(2400, 800, 1200, 1800, 1500, table=own)
    assert row["limit"] == pytest.approx(675)
    assert row["class"] == "fine"


@pytest.mark.parametrize(
    ("bounds", "percentages", "labels", "message"),
    [
        ((0.0, inf), (0.1,), ("a", "b"), "2 upper bounds, 1 percentages and 2 labels"),
        ((), (), (), "at least one"),
        ((1.0, 1.0, inf), (0.1, 0.2, 0.3), ("a", "b", "c"), "must increase — found 1.0 before 1.0"),
        ((2.0, 1.0, inf), (0.1, 0.2, 0.3), ("a", "b", "c"), "must increase"),
        ((0.0, 1.0), (0.1, 0.2), ("a", "b"), "the last one inf"),
        ((nan, inf), (0.1, 0.2), ("a", "b"), "must be finite"),
        ((0.0, inf), (0.1, 25.0), ("a", "b"), "write 0.25 for 25 %"),
        ((0.0, inf), (0.1, nan), ("a", "b"), "fractions"),
        ((0.0, inf), (-0.1, 0.2), ("a", "b"), "fractions"),
    ],
)
def test_a_table_that_leaves_a_doubt_is_refused(
    bounds: tuple[float, ...], percentages: tuple[float, ...], labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        WorkingAssetTable(bounds, percentages, labels, "test")


def test_a_bound_given_to_the_class_above_must_be_a_bound() -> None:
    with pytest.raises(ModelError, match="which are no bounds"):
        WorkingAssetTable((0.0, inf), (0.1, 0.2), ("a", "b"), "test", bound_belongs_above=(0.5,))


def test_a_value_that_is_not_a_number_has_no_class() -> None:
    with pytest.raises(ModelError, match="has no class"):
        WORKING_ASSET_TABLE.classify([0.0, nan])


# ------------------------------------------------------------------------------ reasons


REASONS = [
    ((2400, 800, 1200, 1800, 1500), "rated", "337.50"),
    ((500, 100, 900, 1500, -200), "net_worth_not_positive", "-200.00"),
    ((500, 100, 900, 1500, 0), "net_worth_not_positive", "0.00"),
    ((1000, 0, 3000, 3000, 1500), "working_assets_not_positive", "-250.00"),
    ((1000, 0, 2000, 3000, 1000), "working_assets_not_positive", "0.00"),
    ((900, 300, 0, 0, 600), "no_current_liabilities", "187.50"),
    ((0, 0, 0, 300, 600), "nothing_to_rate", "neither"),
    ((2400, None, 1200, 1800, 1500), "missing_amount", "inventory"),
    ((None, None, 1200, 1800, 1500), "missing_amount", "current_assets, inventory"),
    ((2400, 800, 1200, 1800, None), "missing_amount", "net_worth"),
    ((2400, 2500, 1200, 1800, 1500), "inconsistent_statement", "inventory 2,500.00 above"),
    ((2400, 800, 1900, 1800, 1500), "inconsistent_statement", "current_liabilities 1,900.00 above"),
    ((-1, 0, 1200, 1800, 1500), "inconsistent_statement", "current_assets -1.00 is negative"),
    ((2400, -5, 1200, 1800, 1500), "inconsistent_statement", "inventory -5.00 is negative"),
    ((2400, 5, -3, 1800, 1500), "inconsistent_statement", "current_liabilities -3.00 is negative"),
    ((2400, 5, 0, -3, 1500), "inconsistent_statement", "total_liabilities -3.00 is negative"),
]  # fmt: skip


@pytest.mark.parametrize(("amounts", "reason", "words"), REASONS)
def test_each_limit_names_its_reason_with_the_numbers(
    amounts: tuple[object, ...], reason: str, words: str
) -> None:
    row = one(*amounts)
    assert row["reason"] == reason
    assert words in row["explanation"]
    assert (row["limit"] > 0) == (reason in {"rated", "no_current_liabilities"})


def test_a_bad_row_stops_nobody_else() -> None:
    limits = working_asset_limits(sheet(*(amounts for amounts, _, _ in REASONS)))
    expected = {f"C{k}": reason for k, (_, reason, _) in enumerate(REASONS)}
    assert limits["reason"].to_dict() == expected
    assert len(limits) == len(REASONS)
    assert limits.loc["C0", "limit"] == pytest.approx(337.5)


def test_no_current_liabilities_is_the_top_class_and_says_so() -> None:
    row = one(900, 300, 0, 0, 600)
    assert row["class"] == "low"
    assert row["evaluation_value"] == inf
    assert row["limit"] == pytest.approx(0.25 * 750)
    all_inventory = one(900, 900, 0, 0, 600)  # the quick ratio is 0/0 there
    assert all_inventory["limit"] == pytest.approx(0.25 * 750)


def test_rounding_of_printed_statements_is_no_contradiction() -> None:
    assert one(2400, 800, 1800.9, 1800, 1500)["reason"] == "rated"
    strict = one(2400, 800, 1800.9, 1800, 1500, consistency_tolerance=0)
    assert strict["reason"] == "inconsistent_statement"


def test_total_assets_must_be_debt_and_equity_where_all_three_are_given() -> None:
    frame = sheet((2400, 800, 1200, 1800, 1500), (2400, 800, 1200, 1800, 1500))
    limits = working_asset_limits(frame.assign(total_assets=[3300, 3400]))
    assert limits["reason"].tolist() == ["rated", "inconsistent_statement"]
    assert "3,400.00 is not total_liabilities 1,800.00" in limits.loc["C1", "explanation"]


def test_current_assets_above_total_assets_contradict_the_statement() -> None:
    frame = sheet((2400, 800, 1200, 1800, 1500)).drop(columns="net_worth")
    limits = working_asset_limits(frame.assign(total_assets=[2000]))
    assert limits["reason"].tolist() == ["inconsistent_statement"]


def test_net_worth_is_total_assets_less_debt_where_its_column_is_absent() -> None:
    frame = sheet((2400, 800, 1200, 1800, 1500)).drop(columns="net_worth")
    row = working_asset_limits(frame.assign(total_assets=3300)).iloc[0]
    assert row["limit"] == pytest.approx(337.5)
    blank = working_asset_limits(frame.assign(total_assets=nan)).iloc[0]
    assert blank["reason"] == "missing_amount"
    assert "total_assets" in blank["explanation"]


def test_tangible_net_worth_leaves_out_intangible_assets() -> None:
    frame = sheet((2400, 800, 1200, 1800, 1500), (2400, 800, 1200, 1800, 1500))
    frame["intangible_assets"] = [500, None]
    limits = working_asset_limits(frame, tangible=True)
    assert limits.loc["C0", "net_worth"] == 1000
    assert limits.loc["C0", "working_assets"] == 1100
    assert limits.loc["C1", "reason"] == "missing_amount"
    assert (working_asset_limits(frame)["net_worth"] == 1500).all()
    with pytest.raises(DataError, match="intangible_assets") as caught:
        working_asset_limits(frame.drop(columns="intangible_assets"), tangible=True)
    assert caught.value.failures is not None


# ------------------------------------------------------------------------------ which statement


def three_years() -> pd.DataFrame:
    frame = sheet(*[(2400, 800, 1200, 1800, 1500)] * 3, ids=["A", "A", "B"])
    frame["statement_date"] = ["2022-12-31", "2021-12-31", "2023-12-31"]
    frame["net_worth"] = [1500, 1000, 1500]
    return frame


def test_the_latest_statement_counts() -> None:
    limits = working_asset_limits(three_years())
    assert limits["statement_date"].dt.year.to_dict() == {"A": 2022, "B": 2023}
    assert limits.loc["A", "net_worth"] == 1500


def test_nothing_dated_after_as_of_is_used() -> None:
    limits = working_asset_limits(three_years(), as_of="2022-12-30")
    assert limits.loc["A", "net_worth"] == 1000
    assert limits.loc["B", "reason"] == "statement_after_as_of"
    assert limits.loc["B", "limit"] == 0
    words = limits.loc["B", "explanation"]
    assert "2023-12-31" in words
    assert "after 2022-12-30" in words
    same_day = working_asset_limits(three_years(), as_of="2022-12-31")
    assert same_day.loc["A", "net_worth"] == 1500


def test_a_statement_too_old_gives_no_limit() -> None:
    limits = working_asset_limits(three_years(), as_of="2024-01-31", max_age_days=365)
    assert limits["reason"].to_dict() == {"A": "statement_too_old", "B": "rated"}
    words = limits.loc["A", "explanation"]
    assert "396 days before 2024-01-31; at most 365 are allowed" in words
    assert limits.loc["A", "limit"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"max_age_days": 10},
        {"max_age_days": -1, "as_of": "2024-01-01"},
        {"as_of": "soon"},
        {"as_of": None, "rounding": "three_decimals"},
        {"consistency_tolerance": -0.1},
        {"consistency_tolerance": nan},
        {"unit": 0},
        {"unit": -0.01},
        {"unit": nan},
        {"unit": inf},
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        working_asset_limits(three_years(), **options)  # type: ignore[arg-type]


def test_an_as_of_before_all_statements_says_both_dates_to_everybody() -> None:
    limits = working_asset_limits(three_years(), as_of="1999-01-01")
    assert (limits["reason"] == "statement_after_as_of").all()
    assert (limits["limit"] == 0).all()
    assert "2021-12-31, after 1999-01-01" in limits.loc["A", "explanation"]


@pytest.mark.parametrize(
    ("unit", "limit"), [(0.01, 446234.51), (1, 446234), (0.05, 446234.5), (1e3, 446e3)]
)
def test_a_limit_is_rounded_down_to_a_unit_of_money(unit: float, limit: float) -> None:
    amounts = (2000000.10, 100000, 1000000, 1000000, 2569876)
    assert one(*amounts, unit=unit)["limit"] == limit
    assert one(*amounts, unit=None)["limit"] == pytest.approx(446234.5125, rel=1e-15)
    assert one(*amounts)["limit"] == 446234.51
    assert "446,234.51" in one(*amounts)["explanation"]


@given(st.lists(consistent, min_size=1, max_size=12))
def test_limits_on_statements_in_cents_are_the_exact_ones_rounded_down(
    rows: list[tuple[int, ...]],
) -> None:
    base = sheet(*rows, ids=[f"{k:03d}" for k in range(len(rows))])
    cents = base.assign(**{name: base[name] / 100 for name in AMOUNTS})
    for found, amounts in zip(working_asset_limits(cents)["limit"], rows, strict=True):
        assert found == floor(exact_limit(*amounts)) / 100


def test_the_currency_of_the_statements_is_kept() -> None:
    limits = working_asset_limits(three_years().assign(currency="CNY"))
    assert limits["currency"].tolist() == ["CNY", "CNY"]
    assert working_asset_limits(three_years())["currency"].isna().all()


# ------------------------------------------------------------------------------ properties


@given(st.lists(consistent, min_size=1, max_size=12))
def test_limits_agree_with_exact_fractions_and_are_never_negative(
    rows: list[tuple[int, ...]],
) -> None:
    ids: list[object] = [f"{k:03d}" for k in range(len(rows))]
    limits = working_asset_limits(sheet(*rows, ids=ids))
    assert limits.index.tolist() == ids
    assert (limits["limit"] >= 0).all()
    for found, amounts in zip(limits["limit"], rows, strict=True):
        assert found == floor(exact_limit(*amounts) * 100) / 100
    limits = working_asset_limits(sheet(*rows, ids=ids), unit=None)
    for found, amounts in zip(limits["limit"], rows, strict=True):
        assert found == pytest.approx(float(exact_limit(*amounts)), rel=1e-12, abs=1e-12)
    positive = limits[limits["limit"] > 0]
    product = positive["percentage"] * positive["working_assets"]
    np.testing.assert_allclose(positive["limit"], product, rtol=1e-15)


@given(st.lists(consistent, min_size=1, max_size=8), st.sampled_from([0.01, 3.0, 1e6, 7.3]))
def test_the_unit_of_money_does_not_matter(rows: list[tuple[int, ...]], factor: float) -> None:
    base = sheet(*rows)
    scaled = base.assign(**{name: base[name] * factor for name in AMOUNTS})
    first, second = (working_asset_limits(table, unit=None) for table in (base, scaled))
    np.testing.assert_allclose(second["limit"], first["limit"] * factor, rtol=1e-12)
    assert second["class"].tolist() == first["class"].tolist()
    rounded, rounded_scaled = (working_asset_limits(table) for table in (base, scaled))
    # Each is rounded down to its own cent: equal up to a cent of either.
    off = np.abs(rounded_scaled["limit"] - rounded["limit"] * factor)
    assert (off <= 0.01 * max(1, factor) * (1 + 1e-9)).all()
    scaled_unit = working_asset_limits(scaled, unit=0.01 * factor)["limit"]
    np.testing.assert_allclose(scaled_unit, rounded["limit"] * factor, rtol=1e-12)


@given(st.lists(consistent, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[tuple[int, ...]], random: object) -> None:
    frame = sheet(*rows)
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(
        working_asset_limits(frame.iloc[order]), working_asset_limits(frame)
    )


def test_the_caller_s_table_is_left_as_it_was() -> None:
    frame = three_years()
    before = frame.copy(deep=True)
    working_asset_limits(frame, as_of="2023-01-01")
    pd.testing.assert_frame_equal(frame, before)
