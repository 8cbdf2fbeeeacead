"""Steps of a computation that are computed once, where the engine has a place for them."""

from __future__ import annotations

import uuid

import ibis.expr.operations as ops

from credit_portfolio.ledger import engines
from credit_portfolio.ledger.bringing import Raw, Table
from credit_portfolio.ledger.positions import frame_of


class Keeper:
    """Computes a step once, in what vanishes with the session: steps use each other several times.

    DuckDB and PostgreSQL hold temporary tables, Spark checkpoints. Where a session may not make a
    temporary table (a read replica, a missing right), steps stay questions within questions: the
    answers are the same, and take minutes to plan.
    """

    def __init__(self, raw: Raw) -> None:
        self.own = raw.engine is not None
        self.engine = raw.engine if self.own else raw.table.get_backend()
        self.kind = self.engine.name
        self.keeps = self.kind in ("duckdb", "pyspark")
        self.names: list[str] = []
        if self.kind == "postgres":
            self.keeps = self._may_keep()

    def _may_keep(self) -> bool:
        """Whether PostgreSQL lets this session make temporary tables."""
        asked = (
            "SELECT has_database_privilege(current_database(), 'TEMP')"
            " AND NOT pg_is_in_recovery()"
            " AND current_setting('transaction_read_only') = 'off'"
        )
        with engines.computing():
            return bool(self.engine.con.execute(asked).fetchone()[0])

    def __call__(self, name: str, table: Table) -> Table:
        """Compute a step, if steps are kept here, and return what refers to it."""
        if not self.keeps:
            return table
        if not self.own:  # a connection of the caller's: no name of his may be taken
            name = f"{name}_{uuid.uuid4().hex}"
        self.names.append(name)
        if self.kind == "duckdb":
            return engines.store(self.engine, name, table)
        with engines.computing():
            question = self.engine.compile(table)
            if self.kind == "pyspark":
                frame = self.engine._session.sql(question).localCheckpoint()
                frame.createOrReplaceTempView(name)
                return self.engine.table(name)
            self.engine.con.execute(f"CREATE TEMP TABLE {name} AS {question}")
            self.engine.con.execute(f"ANALYZE {name}")
        return ops.DatabaseTable(name, schema=table.schema(), source=self.engine).to_expr()

    def empty(self, table: Table) -> bool:
        """Whether a table that was kept has no rows; others are not asked."""
        return self.keeps and not int(frame_of(table.aggregate(n=table.count()))["n"][0])

    def drop_all_but(self, kept: str) -> None:
        """Give back the room of the steps."""
        if self.own:
            self.names.append("raw")
        if self.keeps and self.kind != "pyspark":
            engines.drop(self.engine, *[n for n in self.names if not n.startswith(kept)])
        self.names = []
