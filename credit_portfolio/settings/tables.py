"""The tables of a settings file, one dataclass each."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

from credit_portfolio.errors import ModelError, listing

EdgeMethod = Literal["markup", "cost_of_funds", "quantiles", "fixed"]
Period = Literal["month", "quarter", "year"]

# Which keys of [model.edges] each way to propose edges takes.
_EDGE_KEYS = {
    "markup": (),
    "cost_of_funds": ("terms_days", "late_days"),
    "quantiles": ("count", "good_above"),
    "fixed": ("count", "good_above"),
}


@dataclass(frozen=True, slots=True)
class TermSettings:
    """Terms of payment; see ``Terms``."""

    days: int
    end_of_month: Literal["", "before", "after"] = ""


@dataclass(frozen=True, slots=True)
class SideSettings:
    """The column that says debit or credit; see ``Sides``."""

    column: str
    debit: list[str]
    credit: list[str]


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """What to mend in the ledger; see ``Repairs``. ``rates`` is a CSV file."""

    terms: int | TermSettings | None = None
    terms_column: str | None = None
    terms_codes: dict[str, int | TermSettings] | None = None
    rates: str | None = None
    max_rate_age_days: int = 7
    same_customer: dict[str, str] | None = None
    vat_rate: float | None = None
    vat_column: str | None = None
    vat_codes: dict[str, float] | None = None
    sides: SideSettings | None = None
    set_apart: dict[str, list[str]] | None = None
    netted: dict[str, list[str]] | None = None
    hold_out_disputed: bool = False


@dataclass(frozen=True, slots=True)
class SettlementSettings:
    """The codes of a settlement-code ledger; see ``settlement_profile``."""

    codes: dict[str, list[str]]
    column: str = "settlement_code"


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """How the ledger is read; see ``open_ledger``, and ``open_entries`` for profiles of entries.

    ``columns`` alone are those of invoices; with a profile of entries, those that it has otherwise,
    several to be joined in a list. ``links`` is a file, or with ``table`` the name of another table
    beside it.
    """

    profile: str | None = None
    columns: dict[str, str | list[str]] | None = None
    as_of: str | datetime.date | None = None
    table: str | None = None
    schema: str | None = None
    currency: str | None = None
    separator: str | None = None
    decimal: str | None = None
    date_format: str | None = None
    write_offs: dict[str, list[str]] | Literal["none"] | None = None
    links: str | None = None
    groups: list[str] | None = None
    settlement: SettlementSettings | None = None
    repairs: RepairSettings | None = None

    def __post_init__(self) -> None:
        """TOML has dates of its own; a run record has text."""
        if isinstance(self.as_of, datetime.date):
            object.__setattr__(self, "as_of", self.as_of.isoformat())


@dataclass(frozen=True, slots=True)
class StatementSettings:
    """How the statements are read; see ``read_statements``."""

    columns: dict[str, str] | None = None
    separator: str | None = None
    decimal: str | None = None
    date_format: str | None = None


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Where the columns that ``classes`` and ``groups`` name come from."""

    file: str | None = None
    separator: str | None = None
    several: Literal["error", "latest"] = "error"


@dataclass(frozen=True, slots=True)
class ProvisionSettings:
    """A provision matrix; see ``ProvisionMatrix``."""

    days: list[int]
    rates: list[float]
    basis: Literal["due", "invoice"] = "due"


@dataclass(frozen=True, slots=True)
class ReturnSettings:
    """How invoices become returns; see ``ReturnRule`` and ``ReturnPanel.from_ledger``."""

    markup: float | str = 0.25
    funding_rate: float = 0.0
    period: Period = "quarter"
    maturity_days: int = 90
    min_periods: int = 3
    late_settlement: Literal["paid", "provisioned"] = "paid"
    provisions: ProvisionSettings | None = None


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How statements become limits; see ``working_asset_limits``."""

    table: Literal["encyclopaedia", "system"] = "encyclopaedia"
    rounding: Literal["continuous", "two_decimals"] = "continuous"
    tangible: bool = False
    max_age_days: int | None = None
    unit: float = 0.01


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """How edges are proposed; see ``credit_portfolio/evaluation/edges.py``."""

    method: EdgeMethod
    count: int | None = None
    good_above: float | None = None
    terms_days: float | None = None
    late_days: list[float] | None = None

    def __post_init__(self) -> None:
        """Refuse what the method would not look at."""
        taken = _EDGE_KEYS[self.method]
        keys = [key for keys in _EDGE_KEYS.values() for key in keys]
        idle = [k for k in dict.fromkeys(keys) if getattr(self, k) is not None and k not in taken]
        if idle:
            which = f"takes {listing(taken)}" if taken else "takes nothing else"
            raise ModelError(
                f"{listing(idle)} mean nothing to the method {self.method!r}, which {which}; "
                "leave them out"
            )


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the shares are chosen by; see ``CreditPortfolio``."""

    intervals: list[float] | None = None
    edges: EdgeMethod | EdgeSettings | None = None
    good_from: int | None = None
    names: list[str] | None = None
    membership: Literal["crisp", "triangular", "trapezoidal", "gaussian", "bell"] = "crisp"
    width: float | None = None
    targets: str | dict[str, float] = "no_worse"
    weights: dict[str, float | Literal["hold"]] | None = None
    risk_model: str = "ledoit_wolf"
    shrinkage: float | None = None
    operator: str = "weighted_average"
    normalise: bool = False
    smoothing: float | Literal["estimated"] = 0.0
    classes: int | str | None = None
    newcomers: Literal["exclude", "borrow"] = "exclude"
    confidence: float | None = None
    budget: float | None = None
    max_share: float = 1.0
    min_line: float | None = None
    min_return: float | None = None
    groups: dict[str, dict[str, float | list[float]]] | None = None
    max_turnover: float | None = None
    turnover_cost: float = 0.0
    objective: Literal["variance", "cvar"] = "variance"
    tail: float = 0.9
    variance_weight: float = 0.0
    floor: str | float | None = "smoothed"
    outside: Literal["error", "clip"] = "error"
    unit: float = 1.0
    solver: str = "auto"
    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        """Refuse what contradicts itself or would be ignored."""
        if self.intervals is not None and self.edges is not None:
            raise ModelError("intervals and edges are both given; leave one of them out")
        for column, bounds in (self.groups or {}).items():
            for label, bound in bounds.items():
                if isinstance(bound, list) and len(bound) != 2:
                    raise ModelError(
                        f"groups.{column}.{label} is {bound}; expected a cap, or [floor, cap]"
                    )
        for name, weight in (self.weights or {}).items():
            if weight != "hold" and not float(weight) > 0:
                raise ModelError(
                    f"weights.{name} is {weight}; expected a number above 0, or 'hold' to keep "
                    "the target where it is"
                )


@dataclass(frozen=True, slots=True)
class FrontierSettings:
    """What a frontier runs over; see ``credit_portfolio/frontier.py``."""

    over: str = "expected_return"
    points: int = 50


@dataclass(frozen=True, slots=True)
class BacktestSettings:
    """What a backtest walks over; see ``credit_portfolio/backtest.py``."""

    every: Period = "quarter"
    horizon: int = 1
    limits: Literal["then", "now"] = "then"
    infeasible: Literal["skip", "current"] = "skip"
