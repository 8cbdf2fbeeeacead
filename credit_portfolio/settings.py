"""The settings of a run: what the command line's options and a TOML file can say.

::

    [ledger]    profile, columns, as_of, table, schema, currency, separator, decimal, date_format
    [statements] columns, separator, decimal, date_format
    [returns]   markup, funding_rate, period, maturity_days, min_periods, late_settlement,
                provisions = {days, rates, basis}
    [limits]    table, rounding, tangible, max_age_days, unit
    [model]     intervals, good_from, targets, risk_model, operator, budget, max_share, floor,
                outside, unit, solver, tolerance
"""

from __future__ import annotations

import dataclasses
import datetime
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from credit_portfolio.errors import ModelError, did_you_mean, listing

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

# The edges of an analyst who watches full losses, losses, thin margins and nearly full margins, as
# parts of the markup R: with R = 25 % they are −100 %, 0, 15 %, 20 %, 23.5 %, 25 %.
_EDGES_OF_MARKUP = (0.0, 0.6, 0.8, 0.94, 1.0)
_GOOD_FROM = 3


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """How the invoices are read; see ``open_ledger``."""

    profile: str | None = None
    columns: dict[str, str] | None = None
    as_of: str | datetime.date | None = None
    table: str | None = None
    schema: str | None = None
    currency: str | None = None
    separator: str | None = None
    decimal: str | None = None
    date_format: str | None = None

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
    period: Literal["month", "quarter", "year"] = "quarter"
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
class ModelSettings:
    """What the shares are chosen by; see ``CreditPortfolio``."""

    intervals: list[float] | None = None
    good_from: int | None = None
    targets: str | dict[str, float] = "no_worse"
    risk_model: str = "ledoit_wolf"
    operator: str = "weighted_average"
    budget: float | None = None
    max_share: float = 1.0
    floor: str | float | None = "smoothed"
    outside: Literal["error", "clip"] = "error"
    unit: float = 1.0
    solver: str = "auto"
    tolerance: float = 1e-9


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a run.

    Examples
    --------
    >>> Settings.from_mapping({"returns": {"markup": 0.3}}).edges()
    ([-1.0, 0.0, 0.18, 0.24, 0.282, 0.3], 3)
    """

    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    statements: StatementSettings = field(default_factory=StatementSettings)
    returns: ReturnSettings = field(default_factory=ReturnSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    model: ModelSettings = field(default_factory=ModelSettings)

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], where: str = "the settings") -> Settings:
        """Read nested tables; an unknown key or a value of a wrong type is an error.

        Raises
        ------
        ModelError
            Naming the key, what was expected, and the nearest known key.
        """
        made: Settings = _build(cls, content, where, "")
        return made

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Settings:
        """Read a TOML file.

        Raises
        ------
        ModelError
            When the file cannot be read, is not TOML, or has an unknown or wrong key.
        """
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(f"cannot read settings {path}: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} is not TOML: {error}") from error
        return cls.from_mapping(content, str(path))

    def changed(self, options: Mapping[str, Mapping[str, Any]]) -> Settings:
        """Return settings in which the options that are not None win."""
        merged = dataclasses.asdict(self)
        for table, values in options.items():
            merged[table] |= {key: value for key, value in values.items() if value is not None}
        return Settings.from_mapping(merged, "the options")

    def edges(self) -> tuple[list[float], int]:
        """Return interval edges and the first good interval: as set, or derived from the markup."""
        if self.model.intervals is not None:
            if self.model.good_from is None:
                raise ModelError("good_from is missing: say which interval is the first good one")
            return list(self.model.intervals), self.model.good_from
        markup = self.returns.markup
        if isinstance(markup, str):
            raise ModelError(
                "the markup comes from a column, so the intervals cannot be derived from it; give "
                "intervals and good_from"
            )
        # Twelve digits: 0.6 × 0.3 is 0.18 to a reader, and 0.18 is what he will type.
        edges = [-1.0, *(round(part * markup, 12) for part in _EDGES_OF_MARKUP)]
        return edges, _GOOD_FROM if self.model.good_from is None else self.model.good_from

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain types, as a run record stores them."""
        return dataclasses.asdict(self)


def _build(kind: Any, content: Mapping[str, Any], where: str, prefix: str) -> Any:
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if key not in hints:
            raise ModelError(
                f"unknown key {name!r} in {where}; known are {listing(hints, 20)}."
                f"{did_you_mean(str(key), hints)}"
            )
        nested = [part for part in _parts(hints[key]) if dataclasses.is_dataclass(part)]
        if nested and isinstance(value, dict):
            values[key] = _build(nested[0], value, where, f"{name}.")
            continue
        if not any(_fits(value, part) for part in _parts(hints[key])):
            raise ModelError(f"{name} in {where} is {value!r}; expected {_in_words(hints[key])}")
        values[key] = value
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in values
    ]
    if missing:
        raise ModelError(f"{prefix.rstrip('.')} in {where} lacks {listing(missing)}")
    return kind(**values)


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    if hint is type(None):
        return value is None
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(item, get_args(hint)[0]) for item in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(
            _fits(item, get_args(hint)[1]) for item in value.values()
        )
    if hint in (float, int) and isinstance(value, bool):
        return False
    if hint is datetime.date:
        return type(value) is datetime.date  # with a time of day it is none
    return isinstance(value, (int, float) if hint is float else hint)


def _in_words(hint: Any) -> str:
    words = []
    for part in _parts(hint):
        if get_origin(part) is Literal:
            words += [repr(choice) for choice in get_args(part)]
        elif part is not type(None):
            plain = {
                float: "a number",
                int: "a whole number",
                str: "text",
                bool: "true or false",
                datetime.date: "a day such as 2023-12-31",
            }
            words.append(plain.get(part, str(part)))
    return " or ".join(words)
