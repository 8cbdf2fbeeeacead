"""The settings of a run: what the command line's options and a TOML file can say.

::

    [ledger]     profile, columns, as_of, table, schema, currency, separator, decimal, date_format,
                 write_offs, links, groups, settlement = {codes, column},
                 repairs = {terms, terms_column, terms_codes, rates, max_rate_age_days,
                 same_customer, vat_rate, vat_column, vat_codes, sides, set_apart, netted,
                 hold_out_disputed}
    [statements] columns, separator, decimal, date_format
    [labels]     file, separator, several
    [returns]    markup, funding_rate, period, maturity_days, min_periods, late_settlement,
                 provisions = {days, rates, basis}
    [limits]     table, rounding, tangible, max_age_days, unit
    [model]      intervals, edges = {method, count, good_above, terms_days, late_days}, good_from,
                 names, membership, width, targets, weights, risk_model, shrinkage, operator,
                 normalise, smoothing, classes, newcomers, confidence, budget, max_share, min_line,
                 min_return, groups, max_turnover, turnover_cost, objective, tail, variance_weight,
                 floor, outside, unit, solver, tolerance
    [frontier]   over, points
    [backtest]   every, horizon, limits, infeasible
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credit_portfolio.errors import ModelError
from credit_portfolio.settings.reading import build
from credit_portfolio.settings.tables import (
    BacktestSettings,
    EdgeSettings,
    FrontierSettings,
    LabelSettings,
    LedgerSettings,
    LimitSettings,
    ModelSettings,
    ProvisionSettings,
    RepairSettings,
    ReturnSettings,
    SettlementSettings,
    SideSettings,
    StatementSettings,
    TermSettings,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from credit_portfolio.evaluation.intervals import ReturnIntervals
    from credit_portfolio.returns.panel import ReturnPanel

__all__ = [
    "BacktestSettings",
    "EdgeSettings",
    "FrontierSettings",
    "LabelSettings",
    "LedgerSettings",
    "LimitSettings",
    "ModelSettings",
    "ProvisionSettings",
    "RepairSettings",
    "ReturnSettings",
    "Settings",
    "SettlementSettings",
    "SideSettings",
    "StatementSettings",
    "TermSettings",
]

# The edges of an analyst who watches full losses, losses, thin margins and nearly full margins, as
# parts of the markup R: with R = 25 % they are −100 %, 0, 15 %, 20 %, 23.5 %, 25 %.
_EDGES_OF_MARKUP = (0.0, 0.6, 0.8, 0.94, 1.0)
_GOOD_FROM = 3
_INTERVALS = 5
# Files that a settings file names, by table: they are found from where that file stands.
_FILES = (("labels", "file"), ("ledger", "links"), ("ledger", "repairs", "rates"))


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
    labels: LabelSettings = field(default_factory=LabelSettings)
    returns: ReturnSettings = field(default_factory=ReturnSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    frontier: FrontierSettings = field(default_factory=FrontierSettings)
    backtest: BacktestSettings = field(default_factory=BacktestSettings)

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], where: str = "the settings") -> Settings:
        """Read nested tables; an unknown key or a value of a wrong type is an error.

        Raises
        ------
        ModelError
            Naming the key, what was expected, and the nearest known key.
        """
        made: Settings = build(cls, content, where)
        return made

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Settings:
        """Read a TOML file; files that it names are found from the folder that it is in.

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
        for *tables, key in _FILES:
            table: Any = content
            for name in tables:
                table = table.get(name) if isinstance(table, dict) else None
            if not isinstance(table, dict) or (key == "links" and "table" in table):
                continue  # what is linked is a table beside that one, and no file
            if isinstance(table.get(key), str):
                table[key] = str(Path(path).parent / table[key])
        return cls.from_mapping(content, str(path))

    def changed(self, options: Mapping[str, Mapping[str, Any]]) -> Settings:
        """Return settings in which the options that are not None win."""
        merged = dataclasses.asdict(self)
        for table, values in options.items():
            given = {key: value for key, value in values.items() if value is not None}
            if table == "model" and "intervals" in given:
                merged[table]["edges"] = None  # an option wins over another way to say the same
            merged[table] |= given
        return Settings.from_mapping(merged, "the options")

    def edges(self) -> tuple[list[float], int]:
        """Return interval edges and the first good interval: as set, or derived from the markup."""
        if self.model.intervals is not None:
            if self.model.good_from is None:
                raise ModelError("good_from is missing: say which interval is the first good one")
            return list(self.model.intervals), self.model.good_from
        markup = self._markup()
        # Twelve digits: 0.6 × 0.3 is 0.18 to a reader, and 0.18 is what he will type.
        edges = [-1.0, *(round(part * markup, 12) for part in _EDGES_OF_MARKUP)]
        return edges, _GOOD_FROM if self.model.good_from is None else self.model.good_from

    def intervals(self, panel: ReturnPanel) -> ReturnIntervals:
        """Return the intervals: as set, or proposed from markup, cost of funds or the panel.

        Raises
        ------
        ModelError, DataError
            As ``ReturnIntervals`` and the functions of ``evaluation/edges.py`` do.
        """
        from credit_portfolio.evaluation.intervals import ReturnIntervals

        m = self.model
        edges = EdgeSettings(m.edges) if isinstance(m.edges, str) else m.edges
        if edges is None or edges.method == "markup":
            plain, good_from = self.edges()
            found = ReturnIntervals(plain, good_from, m.names)
        else:
            found = self._proposed(edges, panel)
            good_from = found.good_from if m.good_from is None else m.good_from
            found = ReturnIntervals(found.edges, good_from, m.names or found.names)
        if m.membership == "crisp" and m.width is None:
            return found
        return found.fuzzy(m.membership, m.width)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain types, as a run record stores them."""
        return dataclasses.asdict(self)

    def _markup(self) -> float:
        markup = self.returns.markup
        if isinstance(markup, str):
            raise ModelError(
                "the markup comes from a column, so the intervals cannot be derived from it; give "
                "intervals and good_from"
            )
        return markup

    def _proposed(self, edges: EdgeSettings, panel: ReturnPanel) -> ReturnIntervals:
        from credit_portfolio.evaluation import edges as propose

        n = _INTERVALS if edges.count is None else edges.count
        good_above = 0.0 if edges.good_above is None else edges.good_above
        if edges.method == "quantiles":
            markup = self.returns.markup
            top = None if isinstance(markup, str) else markup
            return propose.quantile_edges(panel.values, n, markup=top, good_above=good_above)
        if edges.method == "fixed":
            return propose.fixed_edges(self._markup(), n, good_above=good_above)
        given = {"terms_days": edges.terms_days, "days": edges.late_days}
        options: Any = {key: value for key, value in given.items() if value is not None}
        if not self.returns.funding_rate > 0:
            raise ModelError(
                "edges at the cost of funds need the rate of the funds, and funding_rate is "
                f"{self.returns.funding_rate:g}; give returns.funding_rate, as 0.08"
            )
        return propose.cost_of_funds_edges(self._markup(), self.returns.funding_rate, **options)
