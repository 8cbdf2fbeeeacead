"""How many bytes cross the wire when the ledger stays in PostgreSQL.

A throw-away server gets a table of invoices; a proxy on the loopback interface counts what the
server sends while the ledger is opened and the monthly panel is built. Beside it stand the bytes of
the aggregates themselves and of the whole table.

    python -m benchmarks.ledger_wire --rows 5000000
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

import credit_portfolio as cp
from credit_portfolio.ledger.positions import arrow_of
from credit_portfolio.returns.cells import sums_of
from credit_portfolio.returns.rows import rows_of

INVOICES = """
CREATE TABLE receivables AS
SELECT 'C' || lpad((i %% %(customers)s)::text, 6, '0') AS customer_id,
       'R' || lpad(i::text, 9, '0') AS invoice_id,
       d AS invoice_date,
       d + 30 AS due_date,
       a AS amount,
       CASE WHEN u < 90 THEN d + 20 + u END AS settled_date,
       CASE WHEN u < 90 THEN CASE WHEN u < 2 THEN 0 ELSE a END END AS settled_amount,
       CASE WHEN u < 2 THEN a END AS written_off_amount
FROM (SELECT i, DATE '2022-01-01' + (hashint4(i) & 1023) AS d,
             ((1000 + (hashint4(i + 7) & 1048575)) / 100.0)::numeric(18, 2) AS a,
             (hashint4(i + 13) & 65535) %% 100 AS u
      FROM generate_series(1, %(rows)s) AS t(i)) AS made
"""


@contextmanager
def server() -> Iterator[int]:
    """Start a PostgreSQL server of our own; yield its port."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    folder = Path(found).parent if found else programs[0]
    place = Path(tempfile.mkdtemp(prefix="cp_wire_", dir="/tmp"))
    who: dict[str, Any] = {}
    if os.getuid() == 0:  # PostgreSQL refuses root
        user = pwd.getpwnam("postgres")
        who = {"user": user.pw_uid, "group": user.pw_gid}
        os.chown(place, user.pw_uid, user.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    data = str(place / "data")
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": place, **who}
    try:
        initdb = [folder / "initdb", "-D", data, "-U", "owner", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, **quiet)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {place} -c fsync=off"
        control = [folder / "pg_ctl", "-D", data, "-w", "-l", str(place / "log")]
        subprocess.run([*control, "-o", options, "start"], **quiet)
        yield port
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Counter:
    """A proxy on the loopback interface that counts what the server sends to its clients."""

    def __init__(self, port: int) -> None:
        self.received = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            there = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(client, there, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(there, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):  # one side hangs up while the other still listens
            while chunk := source.recv(1 << 16):
                if counted:
                    self.received += len(chunk)
                sink.sendall(chunk)
        sink.close()


def measure(rows: int, customers: int) -> list[tuple[str, int, float]]:
    """Return what crossed the wire: what for, bytes, seconds."""
    lines: list[tuple[str, int, float]] = []
    with server() as port:
        direct = f"postgresql://owner@127.0.0.1:{port}/postgres"
        with psycopg.connect(direct, autocommit=True) as con:
            made = time.perf_counter()
            con.execute(INVOICES % {"rows": rows, "customers": customers})
            con.execute("ANALYZE receivables")
            lines.append(("(the table is made)", 0, time.perf_counter() - made))
            (size,) = con.execute(
                "SELECT sum(octet_length(r::text)) FROM receivables AS r"
            ).fetchone() or (0,)
        counter = Counter(port)
        url = f"postgresql://owner@127.0.0.1:{counter.port}/postgres"
        start = time.perf_counter()
        ledger = cp.open_ledger(url, table="receivables", as_of="2024-12-31")
        opened, start = counter.received, _told(lines, "open the ledger", counter, 0, start)
        rule = cp.ReturnRule(markup=0.25, funding_rate=0.08)
        panel = cp.ReturnPanel.from_ledger(ledger, rule, period="month")
        _told(lines, f"monthly panel {panel.values.shape}", counter, opened, start)
        names = arrow_of(sums_of(rows_of(ledger, rule, "month")))["customer_id"]
    # A cell is a name, a number of a period, two floats, a count and two sums of money.
    text = sum(len(name.as_py()) for name in names) + 60 * len(names)
    lines.append((f"the {len(names):,} sums themselves, as text", text, 0.0))
    lines.append((f"the {rows:,} rows of the table, as text", int(size), 0.0))
    return lines


def _told(
    lines: list[tuple[str, int, float]], what: str, counter: Counter, before: int, start: float
) -> float:
    now = time.perf_counter()
    lines.append((what, counter.received - before, now - start))
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--customers", type=int, default=20_000)
    asked = parser.parse_args()
    print(f"{asked.rows:,} invoices of {asked.customers:,} customers in PostgreSQL")
    for what, count, seconds in measure(asked.rows, asked.customers):
        print(f"{what:<46}{count:>16,} bytes{seconds:>9.1f} s")


if __name__ == "__main__":
    main()
