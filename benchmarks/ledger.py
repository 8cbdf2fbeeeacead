"""What a large ledger takes: ``python -m benchmarks.ledger`` prints the tables.

A seeded book of invoices is written as monthly Parquet files. The monthly return panel is then
built in several ways, each in a process of its own: by the package, by the same aggregation written
by hand in DuckDB SQL, and in pandas. All panels must agree to the cent in every cell.

    python -m benchmarks.ledger [--invoices 20000000] [--customers 200000]
    python -m benchmarks.ledger --invoices 100000000     # without pandas, which would not fit
    python -m benchmarks.ledger --stages                 # on to the allocation and its report
    python -m benchmarks.ledger --forms                  # with errors, as floats, with loose ids
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.measure import forget_peak, machine, mebi, peak_bytes

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

MONTHS = 36
FIRST = np.datetime64("2021-01", "M")
AS_OF = datetime.date(2024, 3, 31)  # three months after the last invoice: all months are mature
MARKUP, FUNDING = 0.25, 0.08
SEED = 20260
_CHUNK = 1_000_000  # invoices held in memory while a file is written
PANDAS_FITS = 30_000_000  # invoices; beyond, pandas would take more memory than most machines have
CENT = 0.01  # money of the ledger has two decimals here


# --- the book -----------------------------------------------------------------------------------


def write_ledger(folder: Path, invoices: int, customers: int, seed: int = SEED) -> None:
    """Write the book as one Parquet file a month; memory does not grow with its size.

    Customers differ in size, most pay in full around the due date, one invoice in a hundred is
    written off, and some of the last months are still open on :data:`AS_OF`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    names = pa.array([f"C{i:06d}" for i in range(customers)])
    # Sizes are spread like 1 to 20, and every customer stays in the book.
    edges = np.cumsum(random.uniform(1.0, 20.0, customers))
    edges /= edges[-1]
    written = 0
    for month in range(MONTHS):
        until = invoices * (month + 1) // MONTHS
        with pq.ParquetWriter(folder / f"{FIRST + month}.parquet", _SCHEMA) as file:
            while written < until:
                n = min(_CHUNK, until - written)
                file.write_table(_chunk(random, names, edges, FIRST + month, written, n))
                written += n


_MONEY = pa.decimal128(18, 2)
_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("invoice_id", pa.string()),
        ("invoice_date", pa.date32()),
        ("due_date", pa.date32()),
        ("amount", _MONEY),
        ("settled_date", pa.date32()),
        ("settled_amount", _MONEY),
        ("written_off_amount", _MONEY),
    ]
)


def _chunk(
    random: np.random.Generator, names: Any, edges: Matrix, month: Any, first: int, n: int
) -> pa.Table:
    begin, end = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
    invoiced = begin + random.integers(0, (end - begin).astype(int), n)
    due = invoiced + random.choice([14, 30, 60], n)
    settled = due + random.integers(-12, 45, n)
    cents = random.lognormal(11.0, 1.0, n).astype(np.int64) + 100
    lost = random.random(n) < 0.01
    partly = random.random(n) < 0.03
    never = random.random(n) < 0.01
    collected = np.where(lost, 0, np.where(partly, cents // 2, cents))
    written_off = np.where(lost, cents, 0)
    who = np.searchsorted(edges, random.random(n), side="right")
    number = pa.array(np.arange(first, first + n)).cast(pa.string())
    columns = [
        names.take(pa.array(who)),
        pc.binary_join_element_wise("R", pc.utf8_lpad(number, 9, "0"), ""),
        pa.array(invoiced),
        pa.array(due),
        _decimals(cents),
        pa.array(settled, mask=never),
        _decimals(collected, never),
        _decimals(written_off, ~lost),
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def _decimals(cents: NDArray[np.int64], blank: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return whole cents as exact decimals."""
    wide = np.zeros((len(cents), 2), dtype=np.int64)  # the upper half of a positive number is 0
    wide[:, 0] = cents
    valid = None if blank is None else pa.array(~blank).buffers()[1]
    return pa.Array.from_buffers(_MONEY, len(cents), [valid, pa.py_buffer(wide)])


# --- the panel, in several ways -------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """What each way must come to: shape (n_periods, n_customers), customers sorted."""

    returns: Matrix
    costs: Matrix
    customers: list[str]


OPENED: dict[str, float] = {}  # seconds of the package until the ledger is open, imports included


def by_package(folder: Path) -> Panel:
    """Open the ledger, every row judged, and build the panel."""
    import credit_portfolio as cp

    started = time.perf_counter()
    ledger = cp.open_ledger(folder, as_of=AS_OF, currency="EUR")
    OPENED["seconds"] = time.perf_counter() - started
    rule = cp.ReturnRule(markup=MARKUP, funding_rate=FUNDING)
    panel = cp.ReturnPanel.from_ledger(ledger, rule, period="month")
    return Panel(panel.values, panel.costs, list(panel.customers))


_PARTS = """
    SELECT customer_id,
           (year(invoice_date) - 1970) * 12 + month(invoice_date) - 1 AS period,
           amount,
           amount / 1.25::DOUBLE AS cost,
           coalesce(CASE WHEN settled_date <= DATE '{as_of}' THEN settled_amount END, 0)
               AS collected,
           CASE WHEN settled_date > DATE '{as_of}' THEN 0
                ELSE coalesce(written_off_amount, 0) END AS written_off,
           date_diff('day', invoice_date, least(settled_date, DATE '{as_of}')) AS days_closed,
           date_diff('day', invoice_date, DATE '{as_of}') AS days_open
    FROM read_parquet('{files}')
    WHERE invoice_date <= DATE '{as_of}'
"""

_CELLS = """
    WITH parts AS ({parts})
    SELECT customer_id, period, count(*) AS invoices, sum(amount) AS amount,
           sum(amount - collected - written_off) AS open, sum(cost) AS cost,
           sum((amount - written_off)::DOUBLE - cost - cost * ({funding} / 365)
               * ((collected + written_off)::DOUBLE * days_closed
                  + (amount - collected - written_off)::DOUBLE * days_open) / amount::DOUBLE)
               AS profit
    FROM parts GROUP BY customer_id, period
"""


def by_sql(folder: Path) -> Panel:
    """Add up the same sums by one statement of DuckDB, and put them in their places."""
    import duckdb

    con = duckdb.connect(config={"preserve_insertion_order": False})
    parts = _PARTS.format(as_of=AS_OF, files=folder / "*.parquet")
    table = con.sql(_CELLS.format(parts=parts, funding=FUNDING)).to_arrow_table()
    return _panel(table["customer_id"], table["period"].to_numpy(), table["cost"], table["profit"])


_JUDGED = """
    SELECT count(*), sum(amount), min(invoice_date), max(invoice_date), max(settled_date),
           count_if(customer_id IS NULL OR trim(customer_id) IN ('', NULL)),
           count_if(invoice_id IS NULL OR trim(invoice_id) IN ('', NULL)),
           count_if(customer_id <> trim(customer_id)), count_if(invoice_id <> trim(invoice_id)),
           count_if(invoice_date IS NULL), count_if(due_date IS NULL), count_if(amount IS NULL),
           count_if(amount <= 0), count_if(settled_amount < 0), count_if(written_off_amount < 0),
           count_if(settled_amount > 0 AND settled_date IS NULL),
           count_if(coalesce(settled_amount, 0) + coalesce(written_off_amount, 0) > amount),
           count_if(due_date < invoice_date), count_if(settled_date < invoice_date),
           count_if(least(invoice_date, due_date, settled_date) < DATE '1970-01-01'),
           count_if(settled_date > DATE '{as_of}'),
           sum(amount) FILTER (settled_date > DATE '{as_of}'),
           sum(settled_amount) FILTER (settled_date <= DATE '{as_of}'),
           sum(written_off_amount) FILTER (settled_date <= DATE '{as_of}')
    FROM read_parquet('{files}')
"""


def by_judged_sql(folder: Path) -> Panel:
    """Ask by hand for what the package also tells: broken rules, invoices that come twice."""
    import duckdb

    files = folder / "*.parquet"
    con = duckdb.connect(config={"preserve_insertion_order": False})
    con.execute(_JUDGED.format(as_of=AS_OF, files=files)).fetchall()
    con.execute(
        f"SELECT invoice_id FROM read_parquet('{files}') GROUP BY 1 HAVING count(*) > 1"
    ).fetchall()
    con.execute(f"SELECT count(DISTINCT customer_id) FROM read_parquet('{files}')").fetchall()
    return by_sql(folder)


def _panel(ids: Any, periods: Any, cost: Any, profit: Any) -> Panel:
    coded = ids.combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    order = np.argsort(np.array(names, dtype=object))
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    place = (periods - periods.min(), rank[coded.indices.to_numpy()])
    costs = np.zeros((int(periods.max() - periods.min()) + 1, len(names)))
    returns = np.full(costs.shape, np.nan)
    costs[place] = cost.to_numpy()
    returns[place] = profit.to_numpy() / cost.to_numpy()
    return Panel(returns, costs, [names[i] for i in order])


_USED = [field.name for field in _SCHEMA if field.name not in ("invoice_id", "due_date")]


def by_plain_pandas(folder: Path) -> Panel:
    """Do the same in pandas as it reads such files: money arrives as Python's decimals."""
    return _by_frame(_read_by_pandas(folder, _USED))


def _read_by_pandas(folder: Path, columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_parquet(folder, columns=columns)
    money = ["amount", "settled_amount", "written_off_amount"]
    frame[money] = frame[money].astype("float64")
    for name in ("invoice_date", "due_date", "settled_date"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name])
    return frame


def by_judged_pandas(folder: Path) -> Panel:
    """Ask in pandas for what ``by_judged_sql`` asks for, then do the same."""
    import pandas as pd

    frame = _read_by_pandas(folder, [field.name for field in _SCHEMA])
    counts: list[Any] = [len(frame), frame["amount"].sum()]
    for name in ("customer_id", "invoice_id"):
        cut = frame[name].str.strip()
        counts += [(cut.isna() | (cut == "")).sum(), (cut != frame[name]).sum()]
    amount, settled = frame["amount"], frame["settled_amount"]
    lost = frame["written_off_amount"]
    invoiced, due, paid = (frame[f"{name}_date"] for name in ("invoice", "due", "settled"))
    conditions = (
        invoiced.isna(), due.isna(), amount.isna(), amount <= 0, settled < 0, lost < 0,
        (settled > 0) & paid.isna(), settled.fillna(0) + lost.fillna(0) > amount,
        due < invoiced, paid < invoiced, paid > pd.Timestamp(AS_OF),
        pd.concat([invoiced, due, paid], axis=1).min(axis=1) < pd.Timestamp(1970, 1, 1),
    )  # fmt: skip
    counts += [condition.sum() for condition in conditions]
    counts += [frame["invoice_id"].duplicated().sum(), frame["customer_id"].nunique()]
    return _by_frame(frame)


def by_pandas(folder: Path) -> Panel:
    """Do the same in pandas, after Arrow has turned money into binary floats."""
    names = _USED
    table = pq.read_table(folder, columns=names)
    floats = [pa.float64() if f.type == _MONEY else f.type for f in table.schema]
    table = table.cast(pa.schema(list(zip(names, floats, strict=True))))
    frame = table.to_pandas(date_as_object=False)
    del table
    return _by_frame(frame)


def _by_frame(frame: pd.DataFrame) -> Panel:
    import pandas as pd

    as_of = pd.Timestamp(AS_OF)
    frame = frame[frame["invoice_date"] <= as_of]
    later = frame["settled_date"] > as_of
    frame["written_off"] = frame["written_off_amount"].fillna(0).mask(later, 0)
    frame["collected"] = frame["settled_amount"].where(frame["settled_date"] <= as_of).fillna(0)
    frame["open"] = frame["amount"] - frame["collected"] - frame["written_off"]
    frame["cost"] = frame["amount"] / (1 + MARKUP)
    closed = frame["settled_date"].clip(upper=as_of).fillna(as_of)
    days_closed = (closed - frame["invoice_date"]).dt.days
    days_open = (as_of - frame["invoice_date"]).dt.days
    settled = (frame["collected"] + frame["written_off"]) * days_closed
    days = (settled + frame["open"] * days_open) / frame["amount"]
    frame["profit"] = frame["collected"] + frame["open"] - frame["cost"]
    frame["profit"] -= frame["cost"] * (FUNDING / 365) * days
    frame["period"] = frame["invoice_date"].dt.to_period("M")
    frame["invoices"] = 1
    sums = frame.groupby(["period", "customer_id"])[
        ["cost", "profit", "invoices", "amount", "open"]
    ].sum()
    costs = sums["cost"].unstack()
    returns = (sums["profit"] / sums["cost"]).unstack()
    return Panel(
        returns.to_numpy(np.float64), costs.fillna(0).to_numpy(np.float64), list(costs.columns)
    )


WAYS: dict[str, Callable[[Path], Panel]] = {
    "package": by_package,
    "sql": by_sql,
    "judged": by_judged_sql,
    "pandas": by_plain_pandas,
    "floats": by_pandas,
    "judged_pandas": by_judged_pandas,
}
ONCE = ("pandas", "floats", "judged_pandas")  # these take long and differ little from run to run
NAMES = {
    "package": "credit_portfolio, every row judged",
    "sql": "DuckDB SQL by hand, nothing judged",
    "judged": "DuckDB SQL by hand, rules and copies",
    "pandas": "pandas, nothing judged",
    "floats": "pandas, money made floats by Arrow",
    "judged_pandas": "pandas, rules and copies",
}


def difference(one: Panel, other: Panel) -> float:
    """Return the largest difference of two panels in money, over costs and profits of all cells."""
    if one.customers != other.customers or one.costs.shape != other.costs.shape:
        raise SystemExit("the panels are not of the same customers and months")
    if not np.array_equal(np.isnan(one.returns), np.isnan(other.returns)):
        raise SystemExit("the panels do not have the same empty cells")
    profits = (np.nan_to_num(panel.returns * panel.costs) for panel in (one, other))
    a, b = profits
    return float(max(np.abs(one.costs - other.costs).max(), np.abs(a - b).max()))


# --- processes of their own ---------------------------------------------------------------------


def run_one(way: str, folder: Path, out: Path | None) -> dict[str, float]:
    """Build the panel one way in this process: seconds and peak of memory."""
    forget_peak()
    started = time.perf_counter()
    panel = WAYS[way](folder)
    taken = {"seconds": time.perf_counter() - started, "bytes": float(peak_bytes())}
    taken["processor"] = time.process_time()  # of all threads, imports included
    if way == "package":
        taken["opened"] = OPENED["seconds"]
    if out is not None:
        np.savez(out, returns=panel.returns, costs=panel.costs, customers=np.array(panel.customers))
    return taken


def fresh(way: str, folder: Path, out: Path | None = None) -> dict[str, float]:
    """Build the panel one way in a new process."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--way", way, "--folder", str(folder)]
    if out is not None:
        command += ["--out", str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


def _load(path: Path) -> Panel:
    with np.load(path) as kept:
        return Panel(kept["returns"], kept["costs"], kept["customers"].tolist())


def compare(folder: Path, ways: list[str], runs: int) -> dict[str, list[dict[str, float]]]:
    """Run all ways in turn, ``runs`` times; refuse panels that differ by a cent."""
    taken: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        for turn in range(runs):
            for way in ways:
                if way in ONCE and turn:
                    continue
                out = Path(place) / f"{way}.npz" if turn == 0 else None
                taken[way].append(fresh(way, folder, out))
        panels = {way: _load(Path(place) / f"{way}.npz") for way in ways}
    for way in ways[1:]:
        apart = difference(panels[ways[0]], panels[way])
        print(f"largest difference of any cell, package and {NAMES[way]}: {apart:.1e} of money")
        if apart >= CENT:
            raise SystemExit("the figures do not agree to the cent")
    return taken


def table_of(taken: dict[str, list[dict[str, float]]]) -> list[str]:
    """Return the lines of the table: seconds, their spread, memory, and ratios to the package."""
    own = statistics.median(run["seconds"] for run in taken["package"])
    head = f"{'':38}{'seconds':>9}{'(least to most)':>20}{'cores x s':>11}"
    lines = [f"{head}{'peak MiB':>10}{'x package':>11}"]
    for way, runs in taken.items():
        times = [run["seconds"] for run in runs]
        middle = statistics.median(times)
        spread = f"({min(times):.2f} to {max(times):.2f})"
        peak = mebi(max(run["bytes"] for run in runs))
        work = statistics.median(run["processor"] for run in runs)
        line = f"{NAMES[way]:38}{middle:9.2f}{spread:>20}{work:11.1f}"
        lines.append(f"{line}{peak:10,.0f}{middle / own:11.2f}")
    ratio = own / statistics.median(run["seconds"] for run in taken["sql"])
    lines.append(f"package, opening and panel, to SQL by hand: {ratio:.2f}")
    if "judged" in taken:
        ratio = own / statistics.median(run["seconds"] for run in taken["judged"])
        lines.append(f"package to SQL by hand that judges too: {ratio:.2f}")
    opened = statistics.median(run["opened"] for run in taken["package"])
    last = statistics.median(run["seconds"] - run["opened"] for run in taken["package"])
    ratio = last / statistics.median(run["seconds"] for run in taken["sql"])
    lines.append(
        f"of the package: {opened:.2f} s until the ledger is open, {last:.2f} s from there to the "
        f"panel, which is {ratio:.2f} of SQL by hand"
    )
    if "pandas" in taken:
        for way in ONCE:
            lines.append(f"{NAMES[way]}, to package: {taken[way][0]['seconds'] / own:.1f}")
    return lines


# --- the same book as others write it -------------------------------------------------------------

_ONE_IN = 10_000  # rows for each kind of error


def with_errors(table: pa.Table) -> pa.Table:
    """Return the rows with four kinds of errors, of which copies are further rows."""
    n = table.num_rows
    spoilt = {
        "amount": pc.negate(table["amount"]).cast(_MONEY),
        "due_date": pc.subtract(table["invoice_date"], pa.scalar(86_400, pa.duration("s"))).cast(
            pa.date32()
        ),
        "invoice_date": pa.nulls(n, pa.date32()),
    }
    rows = np.arange(n)
    copies = table.take(pa.array(rows[_ONE_IN // 2 :: _ONE_IN]))
    for place, (name, values) in enumerate(spoilt.items()):
        chosen = pa.array(rows % _ONE_IN == place)
        cells = pc.if_else(chosen, values, table[name])
        table = table.set_column(table.column_names.index(name), table.schema.field(name), cells)
    return pa.concat_tables([table, copies])


def with_floats(table: pa.Table) -> pa.Table:
    """Return the rows with money in binary floats, as pandas writes it."""
    for name in ("amount", "settled_amount", "written_off_amount"):
        cells = table[name].cast(pa.float64())
        table = table.set_column(table.column_names.index(name), name, cells)
    return table


def with_loose_ids(table: pa.Table) -> pa.Table:
    """Return the rows with a blank behind each id of an invoice, as columns of fixed width have."""
    cells = pc.binary_join_element_wise(table["invoice_id"], " ", "")
    return table.set_column(table.column_names.index("invoice_id"), "invoice_id", cells)


FORMS: dict[str, tuple[str, Callable[[pa.Table], pa.Table]]] = {
    "clean": ("clean", lambda table: table),
    "errors": (f"four errors in {_ONE_IN:,} rows", with_errors),
    "floats": ("money in binary floats", with_floats),
    "loose": ("space behind every invoice id", with_loose_ids),
}


def forms(folder: Path, runs: int) -> list[str]:
    """Return the lines of a table: how long the package takes for other forms of the book."""
    taken: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory(dir=folder.parent) as top:
        for form, (_, change) in FORMS.items():
            (Path(top) / form).mkdir()
            for file in sorted(folder.glob("*.parquet")):
                pq.write_table(change(pq.read_table(file)), Path(top) / form / file.name)
        for _ in range(runs):
            for form in FORMS:
                taken[form].append(fresh("package", Path(top) / form))
    clean = statistics.median(run["seconds"] for run in taken["clean"])
    lines = [f"{'':38}{'seconds':>9}{'(open':>9}{'panel)':>9}{'peak MiB':>10}{'x clean':>9}"]
    for form, (name, _) in FORMS.items():
        middle = statistics.median(run["seconds"] for run in taken[form])
        opened = statistics.median(run["opened"] for run in taken[form])
        peak = mebi(max(run["bytes"] for run in taken[form]))
        line = f"{name:38}{middle:9.2f}{opened:9.2f}{middle - opened:9.2f}"
        lines.append(f"{line}{peak:10,.0f}{middle / clean:9.2f}")
    return lines


# --- to the finished report -----------------------------------------------------------------------


def stages(folder: Path, top: int = 12) -> list[str]:
    """Go from Parquet to the report of an allocation: seconds, memory, dearest calls."""
    import cProfile
    import pstats

    import credit_portfolio as cp

    taken: dict[str, float] = {}
    profile = cProfile.Profile()

    def stage(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        done = work()
        taken[name] = time.perf_counter() - started
        return done

    forget_peak()
    profile.enable()
    ledger = stage("open, judge", lambda: cp.open_ledger(folder, as_of=AS_OF, currency="EUR"))
    rule = cp.ReturnRule(markup=MARKUP, funding_rate=FUNDING)
    panel = stage("panel", lambda: cp.ReturnPanel.from_ledger(ledger, rule, period="month"))
    exposure = stage("exposure", ledger.exposure)
    ageing = stage("ageing", lambda: ledger.ageing(by=None))
    limits = 2.0 * exposure + float(exposure.mean())
    model = cp.CreditPortfolio(
        intervals=[-1, 0, 0.15, 0.2, 0.235, 0.25],
        good_from=3,
        outside="clip",
        budget=float(exposure.sum()),
        currency="EUR",
    )
    stage("allocation", lambda: model.fit(panel, limits=limits, current=exposure))
    with tempfile.TemporaryDirectory() as place:
        page = Path(place) / "report.html"
        write = cp.write_report
        stage(
            "report",
            lambda: write(model.allocation_, page, quality=ledger.quality, ageing=ageing),
        )
    profile.disable()
    total = sum(taken.values())
    lines = [f"{name:14}{used:9.2f} s{used / total:8.0%}" for name, used in taken.items()]
    lines.append(f"{'in all':14}{total:9.2f} s, peak {mebi(peak_bytes()):,.0f} MiB")
    lines.append(
        f"certificate {model.allocation_.certificate.worst:.1e}; dearest calls by own time:"
    )
    calls: Any = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    dear = sorted(calls.items(), key=lambda item: -item[1][2])[:top]
    for (file, _, name), (_, n, own, _, _) in dear:
        lines.append(f"{own:9.2f} s {n:>8,} x {Path(file).name}:{name}"[:96])
    return lines


@contextmanager
def book(invoices: int, customers: int, place: str | None) -> Iterator[Path]:
    """Write the book into a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="ledger_", dir=place) as top:
        folder = Path(top) / "invoices"
        started = time.perf_counter()
        write_ledger(folder, invoices, customers)
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(
            f"{invoices:,} invoices of {customers:,} customers in {MONTHS} Parquet files, "
            f"{mebi(size):,.0f} MiB, written in {time.perf_counter() - started:.0f} s"
        )
        yield folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--invoices", type=int, default=20_000_000)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--place", help="where the book is written; it is deleted afterwards")
    parser.add_argument("--stages", action="store_true", help="on to the allocation's report")
    parser.add_argument("--forms", action="store_true", help="as others write the book")
    parser.add_argument("--way", choices=tuple(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="of a book that is there already")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(run_one(asked.way, asked.folder, asked.out)))
        return
    for line in machine(("duckdb", "ibis-framework", "pandas", "pyarrow", "numpy")):
        print(line)
    if asked.folder:
        _compare_on(asked.folder, asked)
        return
    with book(asked.invoices, asked.customers, asked.place) as folder:
        _compare_on(folder, asked)


def _compare_on(folder: Path, asked: argparse.Namespace) -> None:
    if asked.stages:
        print("\n".join(stages(folder)))
        return
    if asked.forms:
        print("\n".join(forms(folder, asked.runs)))
        return
    rows = sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))
    ways = [way for way in WAYS if way in ("package", "sql") or rows <= PANDAS_FITS]
    for line in table_of(compare(folder, ways, asked.runs)):
        print(line)


if __name__ == "__main__":
    main()
