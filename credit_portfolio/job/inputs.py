"""What a run works on: ledger, panel, statements, limits and labels, as the settings say."""

from __future__ import annotations

import datetime as dt
import warnings
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from credit_portfolio.book import CLASS
from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.job.labels import labels_of
from credit_portfolio.job.record import fingerprint, stage
from credit_portfolio.ledger.entries import POSITION_COLUMNS
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.profiles import ENTRY_PROFILES, Sides, settlement_profile
from credit_portfolio.ledger.repairs import Repairs, Terms
from credit_portfolio.ledger.schema import PROFILES, plain
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.limits import (
    WORKING_ASSET_TABLE,
    WORKING_ASSET_TABLE_OF_SYSTEM,
    read_statements,
    working_asset_limits,
)
from credit_portfolio.portfolio import CreditPortfolio
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule
from credit_portfolio.settings import TermSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from credit_portfolio.evaluation.intervals import ReturnIntervals
    from credit_portfolio.job.record import Path_, Progress, Record
    from credit_portfolio.ledger.profiles import EntryProfile
    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.limits import Statements
    from credit_portfolio.settings import LedgerSettings, RepairSettings, Settings

_LIMIT_TABLES = {
    "encyclopaedia": WORKING_ASSET_TABLE,
    "system": WORKING_ASSET_TABLE_OF_SYSTEM,
}
_OF_ENTRIES = ("write_offs", "links", "groups", "settlement")  # settings of ledgers of entries
LIMIT_MONEY = ("limit", "working_capital", "net_worth", "working_assets")
"""Columns of the limits that are amounts of money."""


@dataclass(frozen=True, eq=False, slots=True)
class Inputs:
    """What has been read, and what the model is fitted to."""

    ledger: Ledger
    panel: ReturnPanel
    sheets: Statements | None
    limits: pd.DataFrame | None
    labels: pd.DataFrame | None
    model: CreditPortfolio

    def fit(self, settings: Settings) -> CreditPortfolio:
        """Fit the model; what is infeasible is told with the analyst's weights.

        Raises
        ------
        CreditPortfolioError
            As ``CreditPortfolio.fit`` says.
        """
        exposure = self.ledger.exposure()
        current = exposure if exposure.sum() > 0 else None
        return self.model.fit(
            self.panel,
            limits=self.limits,
            current=current,
            labels=self.labels,
            weights=settings.model.weights,
        )


def read_inputs(
    invoices: Path_,
    statements: Path_ | None,
    settings: Settings,
    record: Record,
    progress: Progress,
) -> Inputs:
    """Read all files, stage by stage, and keep their fingerprints in the record."""
    with stage("reading the ledger", record, progress):
        record.inputs.append(fingerprint(invoices))
        ledger = read_ledger(invoices, settings)
        record.inputs += [fingerprint(file) for file in further_files(settings)]
        labels = labels_of(ledger, settings)
    with stage("building the return panel", record, progress):
        panel = panel_of(ledger, settings)
        intervals = settings.intervals(panel)
    limits = sheets = None
    if statements is not None:
        with stage("rating the statements", record, progress):
            record.inputs.append(fingerprint(statements))
            sheets = read_sheets(statements, settings)
            limits = rate(sheets, settings, as_of=ledger.as_of)
    model = model_of(settings, intervals, ledger.currency)
    return Inputs(ledger, panel, sheets, limits, labels, model)


def read_ledger(source: Path_, settings: Settings, keep: Sequence[str] = ()) -> Ledger:
    """Open the ledger as the settings say: of invoices, or of entries where the profile is of such.

    ``keep`` names columns that will be asked for. A ledger of invoices has every further column;
    one of entries has those that it is told to keep.

    Raises
    ------
    ModelError
        For a profile that is not known, or settings that mean nothing for it.
    """
    s = settings.ledger
    if s.profile in ENTRY_PROFILES:
        return _open_entries(source, s, keep)
    if s.profile is not None and s.profile not in PROFILES:
        known = [*PROFILES, *ENTRY_PROFILES]
        raise ModelError(
            f"profile {s.profile!r} is not known; expected one of {listing(known, 20)}."
            f"{did_you_mean(s.profile, known)}"
        )
    idle = [name for name in _OF_ENTRIES if getattr(s, name) is not None]
    if idle:
        raise ModelError(
            f"{listing(idle)} mean nothing for a ledger with one row an invoice; leave them out, "
            f"or give a profile of entries: {listing(ENTRY_PROFILES, 20)}"
        )
    return open_ledger(source, profile=_invoice_profile(s), **_as_both_open(s))


def _open_entries(source: Path_, s: LedgerSettings, keep: Sequence[str]) -> Ledger:
    kept = [name for name in keep if plain(name) not in POSITION_COLUMNS]
    return open_entries(
        source,
        profile=_entry_profile(s),
        write_offs=s.write_offs,
        links=s.links,
        groups=list(dict.fromkeys([*(s.groups or ()), *kept])),
        **_as_both_open(s),
    )


def _entry_profile(s: LedgerSettings) -> EntryProfile:
    """Return the profile of entries that the settings name, with columns and codes of their own."""
    if s.settlement is not None and s.profile != "settlement_code":
        raise ModelError(
            f"settlement means nothing for the profile {s.profile!r}; leave it out, or give the "
            "profile 'settlement_code'"
        )
    base = ENTRY_PROFILES[str(s.profile)]
    if s.settlement is not None:
        base = settlement_profile(s.settlement.codes, s.settlement.column)
    if s.columns is None:
        return base
    own = {
        name: parts if isinstance(parts, str) else tuple(parts) for name, parts in s.columns.items()
    }
    chosen = replace(base, columns={**base.columns, **own})
    named = {part for name in own for part in chosen.parts_of(name)}  # these have to be there
    return replace(chosen, may_be_absent=base.may_be_absent - named)


def _invoice_profile(s: LedgerSettings) -> str | dict[str, str] | None:
    if s.columns is None:
        return s.profile
    if s.profile is not None:
        raise ModelError("the settings give both a profile and columns; leave one of them out")
    plain_columns = {name: part for name, part in s.columns.items() if isinstance(part, str)}
    if len(plain_columns) < len(s.columns):
        name = next(name for name in s.columns if name not in plain_columns)
        raise ModelError(
            f"columns.{name} is {s.columns[name]}; expected one column of invoices: give its name, "
            "or a profile of entries, of which several may be joined"
        )
    return plain_columns


def _as_both_open(s: LedgerSettings) -> dict[str, Any]:
    """Return the settings that ledgers of both shapes take."""
    return {
        "as_of": s.as_of,
        "table": s.table,
        "schema": s.schema,
        "currency": s.currency,
        "separator": s.separator,
        "decimal": s.decimal,
        "date_format": s.date_format,
        "repairs": None if s.repairs is None else _repairs(s.repairs),
    }


def further_files(settings: Settings) -> list[str]:
    """Return the files that are read beside the ledger and the statements."""
    s = settings.ledger
    rates = None if s.repairs is None else s.repairs.rates
    links = None if s.table is not None else s.links  # then it is another table
    return [file for file in (settings.labels.file, links, rates) if file is not None]


def _repairs(s: RepairSettings) -> Repairs:
    codes = s.terms_codes or {}
    return Repairs(
        terms=None if s.terms is None else _terms(s.terms),
        terms_column=s.terms_column,
        terms_codes={code: _terms(terms) for code, terms in codes.items()},
        rates=None if s.rates is None else _rates(s.rates),
        max_rate_age_days=s.max_rate_age_days,
        same_customer=s.same_customer or {},
        # By way of text: the rate that was written, not the binary number nearest to it.
        vat_rate=None if s.vat_rate is None else Decimal(str(s.vat_rate)),
        vat_column=s.vat_column,
        vat_codes={code: Decimal(str(rate)) for code, rate in (s.vat_codes or {}).items()},
        sides=None
        if s.sides is None
        else Sides(s.sides.column, tuple(s.sides.debit), tuple(s.sides.credit)),
        set_apart=s.set_apart or {},
        netted=s.netted or {},
        hold_out_disputed=s.hold_out_disputed,
    )


def _terms(given: int | TermSettings) -> Terms:
    return Terms(given) if isinstance(given, int) else Terms(given.days, given.end_of_month)


def _rates(path: str) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"cannot read the rates {path}: {why}; expected a CSV with the columns currency, date, "
            "rate"
        ) from error


def read_sheets(statements: Path_, settings: Settings) -> Statements:
    """Read the customers' statements as the settings say."""
    s = settings.statements
    with warnings.catch_warnings():
        # Rows without a customer id are told with all other rejected rows, not as a warning.
        warnings.simplefilter("ignore", UserWarning)
        return read_statements(
            statements,
            columns=s.columns,
            separator=s.separator,
            decimal=s.decimal,
            date_format=s.date_format,
        )


def rate(
    statements: Statements, settings: Settings, as_of: str | dt.date | None = None
) -> pd.DataFrame:
    """Return the working-asset limits of statements as the settings say."""
    s = settings.limits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return working_asset_limits(
            statements,
            table=_LIMIT_TABLES[s.table],
            rounding=s.rounding,
            tangible=s.tangible,
            as_of=as_of,
            max_age_days=s.max_age_days,
            unit=s.unit,
        )


def limit_style(sheet: str, column: str, row: Mapping[str, Any]) -> str | None:
    """Say how a number of the limits' sheet is shown."""
    return "money" if column in LIMIT_MONEY else "share" if column == "percentage" else None


def rule_of(settings: Settings) -> ReturnRule:
    """Return how invoices become returns."""
    s = settings.returns
    provisions = None
    if s.provisions is not None:
        p = s.provisions
        provisions = ProvisionMatrix(tuple(p.days), tuple(p.rates), p.basis)
    return ReturnRule(s.markup, s.funding_rate, provisions, s.late_settlement)


def panel_of(ledger: Ledger, settings: Settings) -> ReturnPanel:
    """Build the return panel of the ledger."""
    s = settings.returns
    return ReturnPanel.from_ledger(
        ledger,
        rule_of(settings),
        s.period,
        maturity_days=s.maturity_days,
        min_periods=s.min_periods,
    )


def model_of(settings: Settings, intervals: ReturnIntervals, currency: str) -> CreditPortfolio:
    """Make the model, which is not fitted yet."""
    s = settings.model
    targets: Any = s.targets
    floor: Any = None if s.floor == "none" else s.floor  # TOML has no null
    if s.groups and CLASS in s.groups and s.classes is None:
        raise ModelError(
            f"groups bound the {CLASS!r} that a customer is in, and there are no classes; give "
            "model.classes, or name a column"
        )
    return CreditPortfolio(
        intervals,
        targets=targets,
        risk_model=s.risk_model,
        shrinkage=s.shrinkage,
        operator=s.operator,
        normalise=s.normalise,
        smoothing=s.smoothing,
        classes=s.classes,
        newcomers=s.newcomers,
        confidence=s.confidence,
        budget=s.budget,
        max_share=s.max_share,
        min_line=s.min_line,
        min_return=s.min_return,
        groups=None if s.groups is None else _groups(s.groups),
        max_turnover=s.max_turnover,
        turnover_cost=s.turnover_cost,
        objective=s.objective,
        tail=s.tail,
        variance_weight=s.variance_weight,
        floor=floor,
        outside=s.outside,
        unit=s.unit,
        currency=currency,
        solver=s.solver,
        tolerance=s.tolerance,
    )


def _groups(
    bounds: Mapping[str, Mapping[str, float | list[float]]],
) -> dict[str, dict[str, float | tuple[float, ...]]]:
    return {
        column: {
            label: tuple(bound) if isinstance(bound, list) else bound
            for label, bound in wanted.items()
        }
        for column, wanted in bounds.items()
    }
