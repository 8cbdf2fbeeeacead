"""A seeded book of credit sales: invoices, statements and today's exposure, with one cause behind.

Nothing here is data of real firms. Each customer has a hidden credit quality; each industry has a
hidden climate that drifts from month to month, partly with the whole economy::

    state(customer, month) = quality + climate(industry, month) + own luck in that month

A low state makes payments later, disputes and deductions more frequent, and losses likelier, for
all invoices of the customer in that month; a bad climate does so to a whole industry at once. The
same quality and climate shape the balance sheets, so that a weak statement warns of weak payment.

All draws are arrays over invoices or customers; there is no loop per invoice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import isfinite
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit_portfolio.errors import ModelError, OutputError
from credit_portfolio.export import whole_file

DateLike: TypeAlias = str | date | np.datetime64
_Floats: TypeAlias = NDArray[np.float64]
_Ints: TypeAlias = NDArray[np.int64]
_Days: TypeAlias = NDArray[np.datetime64]

INDUSTRIES = (
    "construction", "electronics", "food", "furniture",
    "machinery", "retail", "textiles", "transport",
)  # fmt: skip
REGIONS = ("centre", "east", "north", "south", "west")
GRADES = ("A", "B", "C", "D", "E")
TERMS_DAYS = (14, 30, 45, 60)
INVOICES_FILE, STATEMENTS_FILE = "invoices.csv", "statements.csv"

_INDUSTRY_MIX = (0.16, 0.12, 0.16, 0.08, 0.14, 0.18, 0.08, 0.08)
_TERMS_MIX = (0.15, 0.50, 0.20, 0.15)
_FISCAL_YEAR_ENDS = (12, 3, 6, 9)  # month in which the customer's year ends
_FISCAL_MIX = (0.76, 0.08, 0.10, 0.06)

# Standard deviations of the parts of the state. Quality dominates, so customers keep their rank;
# the climate is large enough for losses of one industry to come together.
_QUALITY, _CLIMATE, _LUCK = 0.75, 0.55, 0.50
_LUCK_TAIL = 4  # degrees of freedom: now and then a month goes very wrong for one customer
_CLIMATE_MEMORY = 0.88  # month to month: half of a shock is left after about five months
_ECONOMY_SHARE = 0.25  # of the climate's variance is common to all industries

_OCCASIONAL = 0.05  # share of customers that buy only now and then
_WITHOUT_STATEMENT = 0.03  # share of customers whose statement nobody has
_ONLY_STATEMENT = 0.01  # prospects: a statement, no invoice yet
_BLANK_INVENTORY = 0.01  # share of statements that do not give the inventory
_PUBLISHED_AFTER_DAYS = 120  # a statement is known this long after its date
# Typical total assets, as a multiple of what the customer owes us at one time. It makes the limits
# of the whole book about twice its exposure, as where a customer has several suppliers.
_ASSETS_PER_EXPOSURE = 34.0


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class SimulatedBook:
    """One simulated book, as exported on ``as_of``.

    Parameters
    ----------
    invoices : pandas.DataFrame
        One row an invoice in the ledger's canonical columns, then ``industry``, ``region`` and
        ``grade``; sorted by date. A row that was settled after ``as_of`` is open here. Where a part
        was paid and the rest is open, ``settled_date`` is the day of that part.
    statements : pandas.DataFrame
        Two or three yearly statements a customer, in the columns of ``working_asset_limits``.
    current_exposure : pandas.Series
        Money open on ``as_of`` by ``customer_id``, sorted; 0 for a customer who owes nothing.
    as_of : pandas.Timestamp
        Day of the export; nothing later is in the book.
    seed : int
        The seed it was drawn from.
    settings : mapping
        The other arguments.
    """

    invoices: pd.DataFrame
    statements: pd.DataFrame
    current_exposure: pd.Series[Any]
    as_of: pd.Timestamp
    seed: int
    settings: Mapping[str, object]

    @property
    def current_shares(self) -> pd.Series[Any]:
        """Today's exposure as fractions of its sum; NaN when nothing is open."""
        shares = self.current_exposure / self.current_exposure.sum()
        return shares.rename("share")

    def write(self, folder: str | PathLike[str]) -> tuple[Path, Path]:
        """Write ``invoices.csv`` and ``statements.csv`` into a folder, and return their paths.

        Raises
        ------
        OutputError
            When the folder cannot be made or written to. No half-written file is left.
        """
        place = Path(folder)
        files = place / INVOICES_FILE, place / STATEMENTS_FILE
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the book cannot be written to {place} ({error}) — choose another folder"
            ) from error
        for frame, file in zip((self.invoices, self.statements), files, strict=True):
            with whole_file(file) as draft:
                frame.to_csv(
                    draft,
                    index=False,
                    date_format="%Y-%m-%d",
                    float_format="%.2f",
                    lineterminator="\n",
                )
        return files

    def __repr__(self) -> str:
        """Return one line: how much of what, as of when, from which seed."""
        return (
            f"SimulatedBook({len(self.invoices):,} invoices and {len(self.statements):,} "
            f"statements of {len(self.current_exposure):,} customers, "
            f"as of {self.as_of:%Y-%m-%d}, seed {self.seed})"
        )


def simulate_book(
    n_customers: int = 200,
    n_invoices: int = 20_000,
    *,
    seed: int = 2024,
    start: DateLike = "2021-01-01",
    end: DateLike = "2023-12-31",
    as_of: DateLike | None = None,
    currency: str = "EUR",
    markup: float = 0.25,
) -> SimulatedBook:
    """Draw a book of credit sales with the statements of its customers.

    Parameters
    ----------
    n_customers : int
        Customers with at least one invoice each.
    n_invoices : int
        Invoices, exactly; at least one a customer.
    seed : int
        Not negative; the same seed and arguments give the same book.
    start, end : date
        First and last day on which an invoice may be dated.
    as_of : date, optional
        Day of the export, not before ``end``; ``end`` unless given.
    currency : str
        Of all money in the book.
    markup : float
        Price over cost: costs are drawn, and amounts are cost × (1 + markup).

    Returns
    -------
    SimulatedBook

    Raises
    ------
    ModelError
        When an argument is out of its range.

    Examples
    --------
    >>> book = simulate_book(20, 400, seed=1)
    >>> book.invoices["customer_id"].nunique(), len(book.invoices), str(book.as_of.date())
    (20, 400, '2023-12-31')
    """
    _check_counts(n_customers, n_invoices, seed)
    first, last, day = _span(start, end, as_of)
    if not currency.strip():
        raise ModelError(f"currency={currency!r} — expected a code such as 'EUR'")
    if not isfinite(markup) or markup < 0:
        raise ModelError(f"markup={markup} — expected a fraction of the cost, 0 or more")
    streams = [np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(4)]
    customers = _customers(streams[0], n_customers, n_invoices, (last - first).astype(int) + 1)
    climate = _climate(streams[1], first, last)
    sales = _sales(streams[2], customers, n_customers, n_invoices, first, last, markup)
    outcome = _outcomes(streams[2], sales, customers, climate, day)
    sheets = _statements(streams[3], customers, n_customers, climate, first, day, 1 + markup)
    ids = _padded("C", np.arange(1, customers.size + 1), 6)
    invoices = _invoice_frame(sales, outcome, customers, ids, currency)
    return SimulatedBook(
        invoices=invoices,
        statements=_statement_frame(sheets, ids, currency),
        current_exposure=_exposure(sales, outcome, ids[:n_customers]),
        as_of=pd.Timestamp(day),
        seed=int(seed),
        settings=MappingProxyType(
            {
                "n_customers": n_customers,
                "n_invoices": n_invoices,
                "start": str(first),
                "end": str(last),
                "currency": currency,
                "markup": markup,
            }
        ),
    )


# ------------------------------------------------------------------------------ arguments


def _check_counts(n_customers: int, n_invoices: int, seed: int) -> None:
    for name, number, least in (
        ("n_customers", n_customers, 1),
        ("n_invoices", n_invoices, n_customers),
        ("seed", seed, 0),
    ):
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise TypeError(f"{name} must be a whole number, not {type(number).__name__}")
        if number < least:
            raise ModelError(f"{name}={number:,} — expected {least:,} or more")


def _span(
    start: DateLike, end: DateLike, as_of: DateLike | None
) -> tuple[np.datetime64, np.datetime64, np.datetime64]:
    first, last = _day(start, "start"), _day(end, "end")
    day = last if as_of is None else _day(as_of, "as_of")
    if not first <= last <= day:
        raise ModelError(
            f"start {first}, end {last}, as_of {day} — expected them in this order; an export "
            "before the last invoice would lack invoices that were asked for"
        )
    return first, last, day


def _day(value: DateLike, name: str) -> np.datetime64:
    try:
        day = np.datetime64(pd.Timestamp(value), "D")
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}={value!r} is not a date — expected e.g. '2021-01-01'") from error
    if np.isnat(day):
        raise ModelError(f"{name}={value!r} is not a date — expected e.g. '2021-01-01'")
    return day


# ------------------------------------------------------------------------------ hidden causes


@dataclass(frozen=True, eq=False, slots=True)
class _Customers:
    """Arrays over customers; the last few are prospects without an invoice."""

    quality: _Floats  # standard normal, high is good
    industry: _Ints  # index into INDUSTRIES
    region: _Ints
    grade: _Ints  # our own noisy view of the quality, A best
    terms: _Ints  # days
    typical_cost: _Floats  # money an invoice
    frequency: _Floats  # relative number of invoices
    yearly_cost: _Floats  # expected purchases a year, at cost

    @property
    def size(self) -> int:
        return len(self.quality)


def _customers(
    rng: np.random.Generator, n_customers: int, n_invoices: int, n_days: int
) -> _Customers:
    n = n_customers + max(1, round(_ONLY_STATEMENT * n_customers))
    quality = rng.standard_normal(n)
    opinion = (quality + 0.6 * rng.standard_normal(n)) / np.hypot(1, 0.6)
    size = rng.lognormal(0.0, 1.15, n)
    regular = size**0.3 * rng.lognormal(0.0, 0.35, n)
    typical_cost = 3_000.0 * size**0.7
    per_year = regular / regular[:n_customers].sum() * n_invoices * 365.25 / n_days
    occasional = rng.random(n) < _OCCASIONAL
    return _Customers(
        quality=quality,
        industry=rng.choice(len(INDUSTRIES), n, p=_INDUSTRY_MIX),
        region=rng.integers(len(REGIONS), size=n),
        grade=np.searchsorted([-1.3, -0.4, 0.4, 1.3], -opinion),
        terms=np.array(TERMS_DAYS)[rng.choice(len(TERMS_DAYS), n, p=_TERMS_MIX)],
        typical_cost=typical_cost,
        frequency=np.where(occasional, 0.03, 1.0) * regular,
        yearly_cost=typical_cost * per_year,
    )


def _climate(rng: np.random.Generator, first: np.datetime64, last: np.datetime64) -> _Floats:
    """Draw the climate, shape (n_industries, n_months): stationary, standard normal, persistent."""
    n_months = int((last.astype("M8[M]") - first.astype("M8[M]")).astype(int)) + 1
    shocks = rng.standard_normal((len(INDUSTRIES) + 1, n_months))
    paths = np.empty_like(shocks)
    paths[:, 0] = shocks[:, 0]
    fresh = np.sqrt(1 - _CLIMATE_MEMORY**2)
    for month in range(1, n_months):
        paths[:, month] = _CLIMATE_MEMORY * paths[:, month - 1] + fresh * shocks[:, month]
    economy, own = paths[:1], paths[1:]
    climate: _Floats = np.sqrt(_ECONOMY_SHARE) * economy + np.sqrt(1 - _ECONOMY_SHARE) * own
    return climate


# ------------------------------------------------------------------------------ invoices


@dataclass(frozen=True, eq=False, slots=True)
class _Sales:
    """Arrays over invoices, sorted by date."""

    customer: _Ints
    month: _Ints  # months since the first
    invoiced: _Days
    due: _Days
    cents: _Ints


def _sales(
    rng: np.random.Generator,
    customers: _Customers,
    n_customers: int,
    n_invoices: int,
    first: np.datetime64,
    last: np.datetime64,
    markup: float,
) -> _Sales:
    weights = customers.frequency[:n_customers]
    counts = 1 + rng.multinomial(n_invoices - n_customers, weights / weights.sum())
    customer = np.repeat(np.arange(n_customers), counts)
    days = _invoice_days(rng, customers.industry[customer], first, last)
    order = np.argsort(days, kind="stable")
    customer, days = customer[order], days[order]
    cost = customers.typical_cost[customer] * rng.lognormal(-0.08, 0.4, n_invoices)
    return _Sales(
        customer=customer,
        month=(days.astype("M8[M]") - first.astype("M8[M]")).astype(np.int64),
        invoiced=days,
        due=days + customers.terms[customer],
        cents=np.maximum(np.rint(100 * cost * (1 + markup)).astype(np.int64), 100),
    )


def _invoice_days(
    rng: np.random.Generator, industry: _Ints, first: np.datetime64, last: np.datetime64
) -> _Days:
    """Draw a working day for each invoice: slow growth, and each industry its own high season."""
    calendar = np.arange(first, last + 1)
    year = (calendar - calendar.astype("M8[Y]")).astype(float) / 365.25
    growth = 1 + 0.1 * np.arange(len(calendar)) / 365.25
    drawn = np.empty(len(industry), dtype=np.int64)
    for number in range(len(INDUSTRIES)):
        season = 1 + 0.3 * np.cos(2 * np.pi * (year - number / len(INDUSTRIES)))
        chances = np.cumsum(growth * season)
        mine = industry == number
        drawn[mine] = np.searchsorted(chances, rng.random(mine.sum()) * chances[-1], side="right")
    days = calendar[np.minimum(drawn, len(calendar) - 1)]
    working = np.busday_offset(days, 0, roll="backward")
    return np.where(working < first, days, working)


@dataclass(frozen=True, eq=False, slots=True)
class _Outcomes:
    """What is known of each invoice on the day of the export."""

    settled: _Days  # NaT while nothing was paid or written off
    paid_cents: _Ints
    lost_cents: _Ints
    disputed: NDArray[np.bool_]


def _outcomes(
    rng: np.random.Generator,
    sales: _Sales,
    customers: _Customers,
    climate: _Floats,
    as_of: np.datetime64,
) -> _Outcomes:
    n = len(sales.cents)
    luck = rng.standard_t(_LUCK_TAIL, (customers.size, climate.shape[1])) / np.sqrt(2.0)
    state = (
        _QUALITY * customers.quality[sales.customer]
        + _CLIMATE * climate[customers.industry[sales.customer], sales.month]
        + _LUCK * luck[sales.customer, sales.month]
    )
    disputed = rng.random(n) < _chance(-3.3 - 0.5 * state)
    defaulted = rng.random(n) < _chance(-5.6 - 1.7 * state)
    # A deduction that we let go; after a dispute it is common.
    reduced = rng.random(n) < np.where(disputed, 0.5, _chance(-3.9 - 0.5 * state))
    late_days = _late_days(rng, state, disputed)
    early_days = np.minimum(rng.geometric(0.3, n), customers.terms[sales.customer]) - 1
    paid_on = sales.due + np.where(late_days > 0, late_days, -early_days)
    final_cents, lost_cents = _split(rng, sales.cents, defaulted, reduced)
    # Some pay in two parts, and most of what a defaulter pays comes before we give up the rest.
    in_parts = defaulted | (rng.random(n) < _chance(-3.0 - 0.8 * state))
    closed_on = paid_on + np.where(in_parts, rng.integers(10, 46, n), 0)
    given_up = sales.due + np.maximum(rng.integers(90, 211, n), late_days + 1)
    closed_on = np.where(defaulted, given_up, closed_on)
    part = np.where(defaulted, 1.0, rng.uniform(0.3, 0.7, n))
    part_cents = np.where(in_parts, np.floor(part * final_cents), final_cents).astype(np.int64)
    closed = closed_on <= as_of
    partly = ~closed & in_parts & (paid_on <= as_of) & (part_cents > 0)
    nothing = np.datetime64("NaT", "D")
    return _Outcomes(
        settled=np.where(closed, closed_on, np.where(partly, paid_on, nothing)),
        paid_cents=np.where(closed, final_cents, np.where(partly, part_cents, 0)),
        lost_cents=np.where(closed, lost_cents, 0),
        disputed=disputed,
    )


def _chance(log_odds: _Floats) -> _Floats:
    odds: _Floats = np.exp(np.clip(log_odds, -30.0, 30.0))
    return odds / (1 + odds)


def _late_days(rng: np.random.Generator, state: _Floats, disputed: NDArray[np.bool_]) -> _Ints:
    """Days after the due date; 0 for who pays in time. A dispute takes weeks longer."""
    n = len(state)
    late = disputed | (rng.random(n) < _chance(-0.75 - 0.9 * state))
    typical = 7.0 * np.exp(np.clip(-0.5 * state, -1.5, 1.5))
    days = 1 + np.floor(rng.exponential(typical) + disputed * rng.gamma(2.0, 15.0, n))
    return np.where(late, days, 0).astype(np.int64)


def _split(
    rng: np.random.Generator,
    cents: _Ints,
    defaulted: NDArray[np.bool_],
    reduced: NDArray[np.bool_],
) -> tuple[_Ints, _Ints]:
    """Split each amount into what is paid in the end and what is lost; they add up to it."""
    n = len(cents)
    recovered = np.where(rng.random(n) < 0.45, 0.0, rng.uniform(0.05, 0.7, n))
    deduction = np.minimum(rng.beta(1.1, 14.0, n), 0.6)
    kept = np.where(defaulted, recovered, np.where(reduced, 1 - deduction, 1.0))
    paid = np.floor(kept * cents).astype(np.int64)
    return paid, cents - paid


# ------------------------------------------------------------------------------ statements


@dataclass(frozen=True, eq=False, slots=True)
class _Sheets:
    """Arrays over statements; money in whole units."""

    customer: _Ints
    dated: _Days
    total_assets: _Floats
    current_assets: _Floats
    inventory: _Floats
    current_liabilities: _Floats
    total_liabilities: _Floats


def _statements(
    rng: np.random.Generator,
    customers: _Customers,
    n_customers: int,
    climate: _Floats,
    first: np.datetime64,
    as_of: np.datetime64,
    price: float,
) -> _Sheets:
    n = customers.size
    given = (np.arange(n) >= n_customers) | (rng.random(n) >= _WITHOUT_STATEMENT)
    years = np.where(given, rng.integers(2, 4, n), 0)
    customer = np.repeat(np.arange(n), years)
    age = np.concatenate([np.arange(k)[::-1] for k in years])  # years before the latest
    month_of_year = np.array(_FISCAL_YEAR_ENDS)[rng.choice(4, n, p=_FISCAL_MIX)]
    last_month = _latest_year_end(month_of_year, as_of)[customer] - 12 * age
    health = (
        0.85 * customers.quality[customer]
        + 0.35 * _year_climate(climate, customers.industry[customer], last_month, first)
        + 0.40 * rng.standard_normal(len(customer))
    )
    owed = customers.yearly_cost * price * (customers.terms + 10) / 365
    scale = _ASSETS_PER_EXPOSURE * owed * rng.lognormal(0.0, 0.35, n)
    assets = scale[customer] * 0.95**age * rng.lognormal(0.0, 0.05, len(customer))
    return _sheets(rng, customer, last_month, health, assets)


def _sheets(
    rng: np.random.Generator, customer: _Ints, last_month: _Days, health: _Floats, assets: _Floats
) -> _Sheets:
    """Make balance sheets of given health: less debt, more liquid, when the health is good."""
    n = len(customer)
    debt = 1.02 * _chance(0.15 - 0.75 * health + 0.25 * rng.standard_normal(n))
    broken = rng.random(n) < _chance(-5.2 - 1.6 * health)
    debt = np.where(broken, 1 + rng.exponential(0.15, n), np.minimum(debt, 0.97))
    short = np.clip(rng.beta(9.0, 5.0, n) - 0.03 * health, 0.1, 0.95)
    liquidity = np.exp(0.48 + 0.17 * health + 0.2 * rng.standard_normal(n))
    total = np.maximum(np.rint(assets), 100.0)
    liabilities = np.rint(total * debt)
    current = np.rint(liabilities * short)
    liquid = np.minimum(np.rint(current * liquidity), np.rint(0.96 * total))
    inventory = np.rint(liquid * rng.beta(4.0, 7.0, n))
    inventory[rng.random(n) < _BLANK_INVENTORY] = np.nan
    dated = (last_month + 1).astype("M8[D]") - 1
    return _Sheets(customer, dated, total, liquid, inventory, current, liabilities)


def _latest_year_end(month_of_year: _Ints, as_of: np.datetime64) -> _Days:
    """Find the last month of the latest fiscal year whose statement is out on ``as_of``."""
    known = as_of - _PUBLISHED_AFTER_DAYS
    complete = (known + 1).astype("M8[M]") - 1
    of_year = int((complete - complete.astype("M8[Y]")).astype(int)) + 1
    back: _Days = complete - (of_year - month_of_year) % 12
    return back


def _year_climate(
    climate: _Floats, industry: _Ints, last_month: _Days, first: np.datetime64
) -> _Floats:
    """Average the climate over the twelve months up to each statement; 0 before the book begins."""
    sums = np.concatenate([np.zeros((len(climate), 1)), np.cumsum(climate, axis=1)], axis=1)
    stop = (last_month - first.astype("M8[M]")).astype(np.int64) + 1
    begin, stop = (np.clip(k, 0, climate.shape[1]) for k in (stop - 12, stop))
    mean: _Floats = (sums[industry, stop] - sums[industry, begin]) / np.maximum(stop - begin, 1)
    return mean


# ------------------------------------------------------------------------------ tables


def _padded(prefix: str, numbers: _Ints, width: int) -> NDArray[np.object_]:
    """Write numbers with leading zeros after a prefix, without a loop per number."""
    width = max(width, len(str(int(numbers.max()))))
    places = 10 ** np.arange(width - 1, -1, -1)
    digits = (numbers[:, None] // places % 10 + ord("0")).astype(np.uint32)
    letters = np.tile(np.array([ord(c) for c in prefix], dtype=np.uint32), (len(numbers), 1))
    text = np.ascontiguousarray(np.concatenate([letters, digits], axis=1))
    return text.view(f"U{text.shape[1]}").ravel().astype(object)


def _invoice_frame(
    sales: _Sales,
    outcome: _Outcomes,
    customers: _Customers,
    ids: NDArray[np.object_],
    currency: str,
) -> pd.DataFrame:
    known = ~np.isnat(outcome.settled)

    def words(choices: tuple[str, ...], of_customer: _Ints) -> NDArray[np.object_]:
        return np.array(choices, dtype=object)[of_customer][sales.customer]

    columns: dict[str, Any] = {
        "customer_id": ids[sales.customer],
        "invoice_id": _padded("", np.arange(1, len(sales.cents) + 1), 10),
        "invoice_date": sales.invoiced,
        "due_date": sales.due,
        "amount": sales.cents / 100,
        "currency": currency,
        "settled_date": outcome.settled,
        "settled_amount": np.where(known, outcome.paid_cents / 100, np.nan),
        "written_off_amount": outcome.lost_cents / 100,
        "disputed": outcome.disputed,
        "industry": words(INDUSTRIES, customers.industry),
        "region": words(REGIONS, customers.region),
        "grade": words(GRADES, customers.grade),
    }
    return pd.DataFrame(columns)


def _statement_frame(sheets: _Sheets, ids: NDArray[np.object_], currency: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": ids[sheets.customer],
            "statement_date": sheets.dated,
            "current_assets": sheets.current_assets,
            "inventory": sheets.inventory,
            "current_liabilities": sheets.current_liabilities,
            "total_liabilities": sheets.total_liabilities,
            "net_worth": sheets.total_assets - sheets.total_liabilities,
            "total_assets": sheets.total_assets,
            "currency": currency,
        }
    )


def _exposure(sales: _Sales, outcome: _Outcomes, ids: NDArray[np.object_]) -> pd.Series[Any]:
    """Add up what is open, in whole cents, so that the sums are exact."""
    open_cents = sales.cents - outcome.paid_cents - outcome.lost_cents
    cents = np.bincount(sales.customer, weights=open_cents, minlength=len(ids))
    index = pd.Index(ids, name="customer_id")
    return pd.Series(np.rint(cents) / 100, index=index, name="exposure")
