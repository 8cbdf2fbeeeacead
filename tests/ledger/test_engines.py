"""One ledger in three engines: the same rows, the same verdicts, the same figures to the cent.

PostgreSQL is a server of the tests' own: a new cluster in a temporary folder, thrown away after
them. Where its programs or a driver are not installed, its tests skip and say so.
"""

from __future__ import annotations

import datetime
import io
import os
import pwd
import shutil
import socket
import subprocess
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings, strategies as st

from credit_portfolio.errors import DataError, MissingDependencyError, ModelError, OutputError
from credit_portfolio.ledger import engines, judging
from credit_portfolio.ledger.examination import examine, exposures, possible_copies
from credit_portfolio.ledger.identities import look_alikes
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.repairs import Repairs, Terms
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

AS_OF = datetime.date(2024, 6, 30)
HOSTILE_TABLE = "x; drop table y"
HOSTILE_COLUMN = '"; drop table y; --'

# --- the engines --------------------------------------------------------------------------------


def programs_of_postgres() -> Path | None:
    """Return the folder with initdb and pg_ctl, which Debian keeps out of PATH."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def another_user() -> dict[str, int]:
    """Return whom to run the server as: PostgreSQL refuses root."""
    if os.getuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid}
    pytest.skip("root without another user to run PostgreSQL as")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a PostgreSQL server on the loopback interface; return its URL, password included."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = programs_of_postgres()
    if programs is None:
        pytest.skip("the programs of a PostgreSQL server are not installed")
    who = another_user()
    folder = Path("/tmp") / f"cp_pg_{os.getpid()}"  # a socket's path may not be long
    folder.mkdir(mode=0o700)
    if who:
        os.chown(folder, who["user"], who["group"])
    secret = folder / "secret"
    secret.write_text("pass word/1")
    if who:
        os.chown(secret, who["user"], who["group"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, check=False, **who
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = str(folder / "data")
    try:
        run(
            "initdb",
            "-D",
            data,
            "-U",
            "owner",
            f"--pwfile={secret}",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql://owner:pass%20word%2F1@127.0.0.1:{port}/postgres"
        run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(server: str) -> Iterator[object]:
    """Return a connection of the server's owner; what it makes is gone after the test."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as con:
        yield con
        con.execute("DROP SCHEMA public CASCADE")
        con.execute("CREATE SCHEMA public")


@pytest.fixture(scope="session")
def spark() -> Iterator[object]:
    """Return a local Spark session in Ibis."""
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, which is not installed")

    import ibis
    from pyspark.sql import SparkSession

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.session.timeZone", "UTC")
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("OFF")
        yield ibis.pyspark.connect(session)
        session.stop()


def put_into_postgres(con, frame: pd.DataFrame, types: dict[str, str], name: str) -> None:
    """Write a frame into a new table, each column of the type given, text otherwise."""
    from psycopg import sql

    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(types.get(column, "text")))
        for column in frame
    ]
    con.execute(
        sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), sql.SQL(", ").join(columns))
    )
    copy = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))
    with con.cursor() as cursor, cursor.copy(copy) as rows:
        for row in frame.itertuples(index=False, name=None):
            rows.write_row([None if pd.isna(cell) else cell for cell in row])


def in_spark(spark, frame: pd.DataFrame, types: dict[str, str]):
    """Return a frame as a table of Spark, each column of the type given, text otherwise."""
    spark_types = {
        "numeric(18,4)": "decimal(18,4)",
        "numeric(18,5)": "decimal(18,5)",
        "double precision": "double",
        "timestamp": "timestamp_ntz",
    }
    schema = ", ".join(
        f"`{name}` {spark_types.get(types.get(name, ''), types.get(name, 'string'))}"
        for name in frame
    ).replace("text", "string")
    rows = [
        tuple(None if pd.isna(cell) else cell for cell in row)
        for row in frame.itertuples(index=False, name=None)
    ]
    spark._session.createDataFrame(rows, schema).createOrReplaceTempView("receivables")
    return spark.table("receivables")


# The wire of Spark leaves sockets to the garbage collector, and pytest hears of it; PySpark 4.0
# asks pandas 3 for copies by a word that is going out of use.
SPARK = pytest.param(
    "spark",
    marks=[
        pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
        pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
        pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    ],
)
ENGINES = ["parquet", "duckdb file", "postgres", SPARK]


@pytest.fixture
def opened(request, tmp_path):
    """Return an opener of one frame in an engine: as typed columns, or as text."""

    def open_in(
        engine: str, frame: pd.DataFrame, types: dict[str, str], open_=open_ledger, **options
    ):
        if engine == "postgres":
            put_into_postgres(request.getfixturevalue("postgres"), frame, types, "receivables")
            url = request.getfixturevalue("server")
            return open_(url, table="receivables", **options)
        if engine == "spark":
            table = in_spark(request.getfixturevalue("spark"), frame, types)
            return open_(table, **options)
        path = tmp_path / ("book.parquet" if engine == "parquet" else "book.duckdb")
        con = duckdb.connect(str(path) if engine == "duckdb file" else ":memory:")
        con.register("frame", frame.astype(object).where(frame.notna(), None))
        cells = ", ".join(
            f'CAST("{name}" AS {types.get(name, "text")}) AS "{name}"' for name in frame
        )
        con.execute(f"CREATE TABLE receivables AS SELECT {cells} FROM frame")
        if engine == "parquet":
            con.execute(f"COPY receivables TO '{path}' (FORMAT parquet)")
        con.close()
        return open_(path, table=None if engine == "parquet" else "receivables", **options)

    return open_in


# --- books --------------------------------------------------------------------------------------


def a_large_book(n: int = 600) -> pd.DataFrame:
    """Return invoices of every fate, with dirt of every kind, as text."""
    random = np.random.default_rng(11)
    rows = []
    for i in range(n):
        start = datetime.date(2023, 1, 1) + datetime.timedelta(days=int(random.integers(0, 560)))
        cents = int(random.integers(1, 5_000_000))
        settled = start + datetime.timedelta(days=int(random.integers(0, 200)))
        lost = int(cents * random.uniform(0, 0.5))
        fate = i % 5
        rows.append(
            {
                "customer_id": str(random.choice(["007", "7", "B", "O'Brien", '"; drop', " C1 "])),
                "invoice_id": f"I{i:05}",
                "invoice_date": start.isoformat(),
                "due_date": (
                    start + datetime.timedelta(days=int(random.integers(0, 61)))
                ).isoformat(),
                "amount": f"{cents / 100:.2f}",
                "currency": "EUR",
                "settled_date": "" if fate == 0 else settled.isoformat(),
                "settled_amount": f"{(cents - lost) / 100:.2f}" if fate == 2 else "",
                "written_off_amount": f"{lost / 100:.2f}" if fate in (2, 3) else "",
                "disputed": str(random.choice(["", "yes", "No"])),
                "region": str(random.choice(["north", "south", ""])),
            }
        )
    dirt = [
        {"customer_id": " "}, {"invoice_id": ""}, {"invoice_date": "2024-02-30"},
        {"invoice_date": "24-01-10"}, {"due_date": "net 30"}, {"settled_date": "soon"},
        {"settled_date": "2203-01-10"}, {"amount": "abc"}, {"amount": ""}, {"amount": "-5.00"},
        {"amount": "1.00001"}, {"amount": "100000000000000"}, {"settled_amount": "x"},
        {"settled_amount": "10.00", "settled_date": ""}, {"written_off_amount": "-0.01"},
        {"written_off_amount": "99999999.00"}, {"due_date": "2000-01-01"},
        {"settled_date": "2000-01-01"}, {"disputed": "perhaps"}, {"amount": "٣.00"},
        {"invoice_date": "٢٠٢٤-01-10"},
    ]  # fmt: skip
    rows += [rows[i] | {"invoice_id": f"D{i}"} | change for i, change in enumerate(dirt)]
    rows += [rows[40], rows[41] | {"amount": "0.01"}, rows[42] | {"customer_id": " B"}]
    rows += [rows[43] | {"invoice_id": " I00043 "}]
    return pd.DataFrame(rows)


TYPES = {
    "invoice_date": "date",
    "due_date": "date",
    "settled_date": "date",
    "amount": "numeric(18,5)",
    "settled_amount": "numeric(18,4)",
    "written_off_amount": "double precision",
    "disputed": "boolean",
}


def a_typed_book() -> pd.DataFrame:
    """Return the large book with dates, decimals, floats and flags, where it can be typed."""
    frame = a_large_book()
    for name in ("invoice_date", "due_date", "settled_date"):
        days = pd.to_datetime(frame[name], format="%Y-%m-%d", errors="coerce")
        frame[name] = [None if pd.isna(day) else day.date() for day in days]
    for name in ("amount", "settled_amount"):
        frame[name] = [money(text) for text in frame[name]]
    frame["written_off_amount"] = pd.to_numeric(frame["written_off_amount"], errors="coerce")
    frame.loc[frame.index[:40:7], "written_off_amount"] = 0.1 + 0.2
    frame["disputed"] = [{"yes": True, "No": False}.get(word) for word in frame["disputed"]]
    return frame


def money(text: str) -> Decimal | None:
    if not text or set(text) - set("0123456789.-") or len(text) > 14:
        return None
    return Decimal(text)


def picture(ledger) -> dict[str, object]:
    """Return everything that a ledger says, in a form that can be compared."""
    q = ledger.quality
    # Of rows that say the same, files keep the first; a database knows no first.
    rejected = q.rejected[["rule"]].assign(id=q.rejected["invoice_id"].str.strip())
    frame = ledger.to_frame()
    frame = frame.sort_values(["invoice_id", "customer_id"]).reset_index(drop=True)
    return {
        "rows": (q.rows_read, q.rows_accepted, q.rows_rejected, q.rows_after_as_of),
        "money": (q.amount_read, q.amount_accepted, q.amount_rejected, q.amount_after_as_of),
        "blank": q.rows_without_readable_amount,
        "rules": q.rules[["rule", "rows", "amount"]].values.tolist(),
        "rejected": sorted(map(tuple, rejected.fillna("").values.tolist())),
        "findings": [line for line in q.findings.values.tolist() if line[0] != "trimmed_ids"],
        "totals": q.control_totals.values.tolist(),
        "counts": (ledger.n_invoices, ledger.n_open, ledger.n_customers),
        "exposure": ledger.exposure().to_dict(),
        "ageing": ledger.ageing("region", exact=True).values.tolist(),
        "by_invoice": ledger.ageing("disputed", "invoice", exact=True).values.tolist(),
        "frame": frame.astype(object).where(frame.notna(), None).values.tolist(),
        "day": ledger.as_of,
    }


RULE = ReturnRule(0.25, 0.08, ProvisionMatrix((0, 30, 90), (0.01, 0.1, 0.4, 1.0)), "provisioned")


def same_panel(one: ReturnPanel, two: ReturnPanel) -> None:
    assert list(one.customers) == list(two.customers)
    assert list(one.periods) == list(two.periods)
    # Sums of floats in another order: the last digits of money in the millions.
    np.testing.assert_allclose(one.costs, two.costs, rtol=1e-12, atol=0)
    np.testing.assert_allclose(one.values, two.values, rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(one.dropped, two.dropped, check_exact=False, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["text", "typed"])
def test_every_engine_gives_the_same_figures_to_the_cent(engine, kind, opened):
    frame, types = (a_large_book(), {}) if kind == "text" else (a_typed_book(), TYPES)
    reference = open_ledger(frame, as_of=AS_OF)
    ledger = opened(engine, frame, types, as_of=AS_OF)
    assert reference.quality.rows_rejected > 15
    assert picture(ledger) == picture(reference)
    for period in ("month", "quarter", "year"):
        same_panel(
            ReturnPanel.from_ledger(ledger, RULE, period, maturity_days=30),
            ReturnPanel.from_ledger(reference, RULE, period, maturity_days=30),
        )
    assert picture(ledger.on("2023-12-31")) == picture(reference.on("2023-12-31"))


SAP_LINES = """
KUNNR,BELNR,BSCHL,SHKZG,BUDAT,ZFBDT,ZBD1T,DMBTR,SKNTO,AUGBL,AUGDT,REBZG,STBLG,RSTGR
1,11,01,S,20240105,20240105,30,1000.00,,90,20240130,,,
1,12,01,S,20240108,20240108,60,500.00,,90,20240130,,,
1,90,15,H,20240120,20240120,0,1500.00,20.00,90,20240130,,,
1,13,01,S,20240201,20240201,30,800.00,,,,,,
1,91,15,H,20240215,20240215,0,300.00,,,,13,,
1,61,11,H,20240210,20240210,0,100.00,,,,13,,
1,62,11,H,20240211,20240211,0,40.00,,,,13,,
1,71,2,S,20240220,20240220,0,40.00,,,,,62,
2,14,01,S,20240101,20240101,30,400.00,,92,20240601,,,
2,92,15,H,20240601,20240601,0,400.00,,92,20240601,,,WOF
2,93,15,H,20240216,20240216,0,50.00,,,,,,
2,93,15,H,20240216,20240216,0,50.00,,,,,,
2,94,15,H,20240217,20240217,0,9000.00,,,,14,,
2,15,40,S,20240217,20240217,0,1.00,,,,,,
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_judges_and_pictures_entries_alike(engine, opened):
    frame = pd.read_csv(io.StringIO(SAP_LINES), dtype=str)
    told = {"profile": "sap", "as_of": AS_OF, "write_offs": {"RSTGR": ("WOF",)}}
    reference = open_entries(frame, **told)
    ledger = opened(engine, frame, {}, open_entries, **told)
    for when in (AS_OF, datetime.date(2024, 1, 25), datetime.date(2024, 2, 16)):
        one, two = ledger.on(when), reference.on(when)
        pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
        pd.testing.assert_frame_equal(one.unapplied(), two.unapplied())
        pd.testing.assert_frame_equal(one.quality.control_totals, two.quality.control_totals)
        pd.testing.assert_frame_equal(one.quality.findings, two.quality.findings)
    pd.testing.assert_frame_equal(ledger.quality.rules, reference.quality.rules)
    counted = reference.quality.rules.set_index("rule")["rows"]
    assert {rule: n for rule, n in counted.items() if n} == {
        "unmapped_row": 1,
        "identical_copy": 1,
        "over_allocated": 1,
    }
    assert reference.on("2024-01-25").unapplied()["unapplied_cash"].to_dict() == {
        "0000000001": 1480.0
    }


MENDED_TYPES = {
    "doc_id": "double precision",
    "posting_date": "timestamp",
    "total_open_amount": "double precision",
}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_tells_alike_what_was_mended_in_entries(engine, opened, fixed_today):
    times = [datetime.datetime(2019, 1, day, hour) for day, hour in ((1, 10), (2, 0), (3, 0))]
    frame = pd.DataFrame(
        {
            "cust_number": ["200769623", " CCU02\t", "0200769623"],
            "doc_id": [1930000001.0, 1930000002.5, 1930000003.0],
            "posting_date": pd.Series(times, dtype=object),
            "due_in_date": ["20190201.0", "20190201", "2019-02-01 13:30:00"],
            "total_open_amount": [0.1 + 0.2, 50.5, 70.0],
            "invoice_currency": "USD",
            "clear_date": [None, str(fixed_today + datetime.timedelta(days=1)), "2019-02-05"],
            "isOpen": ["1.0", "0", "0"],
        }
    )
    told = {"profile": "highradius", "as_of": "2019-02-28", "write_offs": "none"}
    ledger = opened(engine, frame, MENDED_TYPES, open_entries, **told)
    quality = ledger.quality
    lines = quality.findings[["finding", "rows", "amount"]].itertuples(index=False, name=None)
    assert {name: (rows, money) for name, rows, money in lines} == {
        "dated_after_today": (1, Decimal("50.5")),
        "rounded_floats": (1, Decimal("0.3")),
        "trimmed_ids": (1, Decimal("50.5")),
        "restored_zeros": (1, Decimal("0.3")),
        "whole_numbers": (2, Decimal("70.3")),
        "time_of_day_dropped": (2, Decimal("70.3")),
    }
    assert (quality.source_rows, quality.rows_read) == (3, 5)


MENDED = Repairs(
    terms=Terms(10, "before"),
    same_customer={"7": "007"},
    vat_rate="0.19",
    set_apart={"region": ("south",)},
    netted={"region": ("north",)},
    hold_out_disputed=True,
)


def a_book_to_mend() -> pd.DataFrame:
    """Return the large book with blank due dates and invoices that were keyed twice."""
    frame = a_large_book(200)
    frame.loc[frame.index[:200:4], "due_date"] = ""
    again = frame.iloc[1:60:5].copy()
    again["invoice_id"] += "-2"
    return pd.concat([frame, again], ignore_index=True)


@pytest.mark.parametrize("engine", ["postgres", SPARK])
def test_every_engine_mends_and_examines_alike(engine, opened):
    seen = {}
    for one in ("parquet", engine):
        ledger = opened(one, a_book_to_mend(), {}, as_of=AS_OF, repairs=MENDED)
        examined = examine(ledger, names="region", vat_rates=("0.19",))
        alike = look_alikes(ledger, "region").values.tolist()
        copies = possible_copies(ledger).values.tolist()
        seen[one] = (picture(examined), alike, copies, exposures(ledger).to_dict())
    found = {line[0] for line in seen["parquet"][0]["findings"]}
    assert found >= {
        "due_date_from_terms",
        "merged_customers",
        "taken_without_tax",
        "netted_with_payables",
        "maybe_rekeyed",
        "one_name_several_ids",
        "before_first_complete_month",
    }
    assert seen[engine] == seen["parquet"]


RATES = [("USD", day, "0.91" if day < 20 else "0.9050") for day in range(1, 29)]


@pytest.mark.parametrize("engine", ["duckdb", "postgres", SPARK])
def test_rates_in_a_table_of_the_same_connection_convert_in_every_engine(engine, request):
    import ibis

    rows = [
        ("C1", "1", "2024-02-19", "2024-03-20", "100.00", "usd"),
        ("C1", "2", "2024-02-20", "2024-03-20", "100.00", "USD"),
        ("C2", "3", "2024-02-20", "2024-03-20", "1.10", "EUR"),
    ]
    names = ["customer_id", "invoice_id", "invoice_date", "due_date", "amount", "currency"]
    book = pd.DataFrame(rows, columns=names)
    rates = pd.DataFrame(
        [(c, datetime.date(2024, 2, d), Decimal(r)) for c, d, r in RATES],
        columns=["currency", "date", "rate"],
    )
    types = {"date": "date", "rate": "numeric(18,4)"}
    if engine == "postgres":
        con = request.getfixturevalue("postgres")
        put_into_postgres(con, book, {}, "receivables")
        put_into_postgres(con, rates, types, "rates")
        place = ibis.postgres.from_connection(con)
        table, known = place.table("receivables"), place.table("rates")
    elif engine == "spark":
        spark = request.getfixturevalue("spark")
        in_spark(spark, rates, types)
        spark._session.table("receivables").createOrReplaceTempView("rates")
        known, table = spark.table("rates"), in_spark(spark, book, {})
    else:
        con = duckdb.connect()
        con.register("book", book.astype(object))
        con.execute("CREATE TABLE receivables AS SELECT * FROM book")
        con.execute("CREATE TABLE rates (currency text, date date, rate decimal(18, 4))")
        con.executemany("INSERT INTO rates VALUES (?, ?, ?)", rates.values.tolist())
        place = ibis.duckdb.from_connection(con)
        with warnings.catch_warnings():  # Ibis 12.0 asks in a way that DuckDB has since deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            table, known = place.table("receivables"), place.table("rates")
    ledger = open_ledger(table, currency="EUR", repairs=Repairs(rates=known))
    assert ledger.exposure().to_dict() == {"C1": 91.0 + 90.5, "C2": 1.1}
    line = ledger.quality.findings.set_index("finding").loc["converted"]
    assert (line["rows"], line["amount"]) == (2, Decimal("181.50"))
    with pytest.raises(ModelError, match="pass the rates as a table of Ibis"):
        open_ledger(table, currency="EUR", repairs=Repairs(rates=rates))
    short = known.filter(known.date < datetime.date(2024, 2, 20))
    with pytest.raises(DataError, match=r"1 rows .* no rate of 'USD' for '2024-02-20'"):
        open_ledger(table, currency="EUR", repairs=Repairs(rates=short))


# --- any day from what was accepted -------------------------------------------------------------


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 10**6), day=st.dates(datetime.date(2023, 2, 1), AS_OF))
def test_another_day_is_what_opening_with_that_day_gives(seed, day):
    first = (
        a_large_book(60)
        .iloc[:1]
        .assign(invoice_id="first", invoice_date="2023-01-01", due_date="2023-01-31")
    )
    some = a_large_book(60).sample(40, random_state=seed)
    frame = pd.concat([first, some], ignore_index=True)
    ledger = open_ledger(frame, as_of=AS_OF)
    assert picture(ledger.on(day)) == picture(open_ledger(frame, as_of=day))
    assert picture(ledger.on(day).on(AS_OF)) == picture(ledger)


def test_a_day_before_the_first_invoice_is_an_error(book):
    ledger = open_ledger(book({}))
    with pytest.raises(
        DataError, match=r"as_of is 2024-01-09, and the first invoice .* 2024-01-10"
    ):
        ledger.on("2024-01-09")
    with pytest.raises(ModelError, match="as_of is 'soon'"):
        ledger.on("soon")


# --- names that look like code ------------------------------------------------------------------


def a_hostile_book(book) -> pd.DataFrame:
    names = ["O'Brien", '"; drop table y; --', "\\'; drop table y; --", "%s {0}"]
    frame = book(*({"customer_id": name, "region": name} for name in names), {"amount": "x' --"})
    return frame.rename(columns={"region": HOSTILE_COLUMN})


def check_hostile(ledger, frame: pd.DataFrame) -> None:
    assert sorted(ledger.exposure().index) == sorted(set(frame["customer_id"][:4]))
    assert ledger.ageing(by=HOSTILE_COLUMN)["total"].sum() == 400
    assert list(ledger.quality.rejected["amount"]) == ["x' --"]
    assert list(ledger.quality.rejected[HOSTILE_COLUMN]) == ["north"]
    assert ledger.groups == (HOSTILE_COLUMN,)


def test_names_that_look_like_code_do_no_harm_in_duckdb(book, tmp_path):
    frame = a_hostile_book(book)
    path = tmp_path / "it's a book.duckdb"
    with duckdb.connect(str(path)) as con:
        con.register("frame", frame)
        con.execute(f'CREATE TABLE "{HOSTILE_TABLE}" AS SELECT * FROM frame')
        con.execute("CREATE TABLE y AS SELECT 1 AS safe")
    check_hostile(open_ledger(path, table=HOSTILE_TABLE), frame)
    with duckdb.connect(str(path)) as con:
        assert con.execute("SELECT safe FROM y").fetchall() == [(1,)]


def test_names_that_look_like_code_do_no_harm_in_postgres(book, server, postgres):
    frame = a_hostile_book(book)
    put_into_postgres(postgres, frame, {}, HOSTILE_TABLE)
    postgres.execute("CREATE TABLE y AS SELECT 1 AS safe")
    check_hostile(open_ledger(server, table=HOSTILE_TABLE), frame)
    assert postgres.execute("SELECT safe FROM y").fetchall() == [(1,)]


# --- a database is only read --------------------------------------------------------------------


def test_a_reader_without_any_other_right_is_enough(book, server, postgres):
    import psycopg

    postgres.execute('CREATE SCHEMA "fin\'ance.x"')
    put_into_postgres(postgres, book({}, {"amount": "7"}), {}, "receivables")
    postgres.execute('ALTER TABLE receivables SET SCHEMA "fin\'ance.x"')
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'reads'")
    try:
        url = server.replace("owner:pass%20word%2F1", "reader:reads")
        schema = "fin'ance.x"
        with pytest.raises(DataError, match="has no table 'receivables'"):
            open_ledger(url, table="receivables")
        postgres.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO reader')
        with pytest.raises(DataError, match=r"refuses .permission denied.*right to SELECT"):
            open_ledger(url, table="receivables", schema=schema)
        postgres.execute(f'GRANT SELECT ON "{schema}".receivables TO reader')
        postgres.execute("REVOKE ALL ON DATABASE postgres FROM PUBLIC")
        postgres.execute("GRANT CONNECT ON DATABASE postgres TO reader")
        ledger = open_ledger(url, table="receivables", schema=schema)
        assert ledger.exposure().to_dict() == {"C1": 107.0}
        con = ledger.invoices._find_backend().con
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), con.transaction():
            con.execute("CREATE TABLE z (a int)")
    finally:
        postgres.execute(f'DROP SCHEMA "{schema}" CASCADE')
        postgres.execute("DROP OWNED BY reader")
        postgres.execute("DROP ROLE reader")


def test_rows_that_change_under_an_open_ledger_are_noticed(book, server, postgres):
    put_into_postgres(postgres, book({}, {}), {}, "receivables")
    ledger = open_ledger(server, table="receivables", as_of="2024-06-30")
    assert ledger.exposure().sum() == 200
    postgres.execute("UPDATE receivables SET amount = '90.00' WHERE invoice_id = '1'")
    for ask in (ledger.exposure, ledger.ageing, lambda: ReturnPanel.from_ledger(ledger, RULE)):
        with pytest.raises(DataError, match=r"has changed since the ledger was opened"):
            ask()
    assert open_ledger(server, table="receivables").exposure().sum() == 190


def test_ids_that_come_twice_beyond_a_list_are_looked_up(server, postgres, monkeypatch):
    frame = a_large_book(40)
    reference = picture(open_ledger(frame, as_of=AS_OF))
    monkeypatch.setattr(judging, "MOST_LISTED", 1)
    monkeypatch.setattr(judging, "FEW_LISTED", 1)
    put_into_postgres(postgres, frame, {}, "receivables")
    assert picture(open_ledger(server, table="receivables", as_of=AS_OF)) == reference
    assert picture(open_ledger(frame, as_of=AS_OF)) == reference


# --- what goes wrong ----------------------------------------------------------------------------


def test_an_unknown_table_is_told_with_a_near_one(book, server, postgres, tmp_path):
    put_into_postgres(postgres, book({}), {}, "receivables")
    with pytest.raises(DataError, match=r"no table 'receivable'.*Did you mean 'receivables'"):
        open_ledger(server, table="receivable")
    with pytest.raises(DataError, match=r"schema 'nowhere' of PostgreSQL .* found none"):
        open_ledger(server, table="receivables", schema="nowhere")
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE invoices (a int)")
    with pytest.raises(DataError, match=r"no table 'invoice'.*Did you mean 'invoices'"):
        open_ledger(path, table="invoice")


def test_a_refused_connection_is_told_without_the_password(server):
    wrong = server.replace("pass%20word%2F1", "guess%20me")
    for url in (wrong, "postgresql://owner:guess%20me@127.0.0.1:1/postgres"):
        with pytest.raises(DataError, match=r"cannot be reached .*expected a server") as caught:
            open_ledger(url, table="receivables")
        assert "guess" not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(ModelError, match="cannot be read") as caught:
        open_ledger("postgresql://owner:guess me@[/x", table="receivables")
    assert "guess" not in str(caught.value)


def test_a_driver_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'credit-portfolio\[postgres\]'"):
        open_ledger("postgresql://somewhere/x", table="receivables")


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("mysql://a/b", {"table": "t"}, "kind 'mysql'; expected postgresql://"),
        ("postgresql://a/b", {}, "pass table='receivables'"),
        ("postgresql://a/b", {"table": "t", "separator": ","}, "separator means nothing"),
        ("postgresql://a/b", {"table": "t", "memory_limit": "1GB"}, "memory_limit means nothing"),
        ("book.csv", {"table": "t"}, "table means nothing"),
        ("book.csv", {"schema": "t"}, "schema means nothing"),
    ],
)
def test_options_that_do_not_fit_the_source_are_model_errors(source, options, words):
    with pytest.raises(ModelError, match=words):
        open_ledger(source, **options)


def test_a_memory_limit_that_makes_no_sense_is_a_model_error(book):
    with pytest.raises(ModelError, match="memory_limit is 'much'"):
        open_ledger(book({}), memory_limit="much")


def test_a_connection_that_drops_is_told_and_a_second_run_succeeds(book, server, postgres):
    put_into_postgres(postgres, book({}, {"amount": "7"}), {}, "receivables")
    ledger = open_ledger(server, table="receivables")
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'credit_portfolio'"
    )
    with pytest.raises(
        DataError, match=r"connection to PostgreSQL was lost .*open the ledger again"
    ):
        ledger.exposure()
    assert open_ledger(server, table="receivables").exposure().to_dict() == {"C1": 107.0}
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    assert postgres.execute(tables).fetchall() == [("receivables",)]


def test_a_disk_that_fills_while_spilling_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "book.parquet"
    duckdb.execute(
        "COPY (SELECT 'C' || i AS customer_id, repeat('x', 60) || i AS invoice_id, "
        "DATE '2024-01-10' AS invoice_date, DATE '2024-02-09' AS due_date, "
        f"CAST(5 AS DECIMAL(18,2)) AS amount FROM range(400000) t(i)) TO '{path}' (FORMAT parquet)"
    )
    spill = tmp_path / "spill"
    spill.mkdir()
    with monkeypatch.context() as small:
        small.setitem(engines._SETTINGS, "max_temp_directory_size", "1MB")
        with pytest.raises(OutputError, match=r"neither into memory nor .*give temp_directory="):
            open_ledger(path, memory_limit="30MB", temp_directory=spill)
    assert list(spill.iterdir()) == []
    ledger = open_ledger(path, temp_directory=spill)
    assert ledger.n_invoices == 400_000
    del ledger
    assert list(spill.iterdir()) == []


def test_a_place_for_spilling_that_does_not_exist_is_an_output_error(book, tmp_path):
    with pytest.raises(OutputError, match="no folder for spilling can be made in"):
        open_ledger(book({}), temp_directory=tmp_path / "nowhere")


def test_a_file_that_ends_in_mid_row_is_told_and_the_whole_one_opens(book, tmp_path):
    frame = book(*({} for _ in range(50)))
    for name, write in (("a.csv", frame.to_csv), ("a.parquet", frame.to_parquet)):
        path = tmp_path / name
        write(path, index=False)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(DataError, match=r"ends in the middle of row|expected a whole Parquet"):
            open_ledger(path)
        path.write_bytes(whole)
        assert open_ledger(path).n_invoices == 50


def test_a_text_file_without_a_last_line_break_says_so(csv_file):
    text = "customer_id,invoice_id,invoice_date,due_date,amount\nC,1,2024-01-10,2024-02-09,5.0"
    assert "does not end with a line break" in " ".join(open_ledger(csv_file(text)).quality.notes)
    notes = open_ledger(csv_file(text + "0\n")).quality.notes
    assert "line break" not in " ".join(notes)


@pytest.mark.parametrize("engine", ENGINES)
def test_years_apart_are_told_by_every_engine(opened, book, engine):
    old = {"invoice_date": "1975-06-02", "due_date": "1975-07-02", "amount": "7.50"}
    ledger = opened(engine, book({}, {}, old), {})
    findings = ledger.quality.findings.set_index("finding")
    assert findings.at["years_apart", "rows"] == 1
    assert findings.at["years_apart", "amount"] == Decimal("7.5")
    assert "years that stand apart from the others: 1975" in ledger.quality.notes


# --- Parquet where it lies ----------------------------------------------------------------------


def test_a_folder_and_a_pattern_of_parquet_files_are_one_book(book, tmp_path):
    folder = tmp_path / "books [2024]"
    for month in ("2024-01", "2024-02"):
        (folder / f"month={month}").mkdir(parents=True)
    one = book({"invoice_id": "1"}, {"invoice_id": "2", "amount": "x"})
    two = book({"invoice_id": "3", "amount": "7"})[list(one)[::-1]].drop(columns="disputed")
    one.to_parquet(folder / "month=2024-01" / "a.parquet", index=False)
    two.to_parquet(folder / "month=2024-02" / "b.parquet", index=False)
    (folder / "_SUCCESS.parquet").write_bytes(b"")
    (folder / "readme.txt").write_text("notes")
    ledger = open_ledger(folder)
    assert ledger.exposure().to_dict() == {"C1": 107.0}
    assert ledger.groups == ("region", "month")
    assert ledger.ageing(by="month")["total"].to_dict() == {"2024-01": 100.0, "2024-02": 7.0}
    rejected = ledger.quality.rejected
    assert list(rejected["row"]) == [2]
    assert rejected["file"][0].endswith("a.parquet")
    pattern = str(tmp_path / "books *" / "*" / "*.parquet")
    assert open_ledger(pattern).exposure().to_dict() == {"C1": 107.0}
    (folder / "month=2024-02" / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"b.parquet' cannot be read"):
        open_ledger(folder)


def test_a_file_with_pattern_characters_in_its_name_is_that_file(book, tmp_path):
    book({}).to_parquet(tmp_path / "a1.parquet", index=False)
    book({}, {}).to_parquet(tmp_path / "a[1].parquet", index=False)
    assert open_ledger(tmp_path / "a[1].parquet").n_invoices == 2


def test_entries_that_cannot_be_opened_leave_no_folder_for_spilling(tmp_path) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    columns = ["customer_id", "document", "against_document", "kind", "booking_date", "amount"]
    frame = pd.DataFrame([["C1", "I1", "", "nonsense", "no day", "x"]], columns=columns)
    with pytest.raises(DataError):
        open_entries(frame.assign(due_date=""), temp_directory=spill)
    assert list(spill.iterdir()) == []


ODOO_LINES = pd.DataFrame(
    [
        ("1", "INV/1", "out_invoice", "1", "7", "2024-01-05", "2024-02-04", "1000.00"),
        ("2", "INV/2", "out_invoice", "1", "7", "2024-01-20", "2024-02-19", "300.00"),
        ("3", "BNK/1", "entry", "5", "7", "2024-01-10", None, "-1100.00"),
        ("4", "MISC/1", "entry", "9", "7", "2024-06-01", None, "-150.00"),
    ],
    columns=[
        "id",
        "move_name",
        "move_type",
        "journal_id",
        "partner_id",
        "date",
        "date_maturity",
        "balance",
    ],
)
ODOO_LINKS = pd.DataFrame(
    [
        ("1", "3", "1000.00", "2024-01-10"),
        ("2", "3", "100.00", "2024-01-20"),
        ("2", "4", "150.00", "2024-06-01"),
    ],
    columns=["debit_move_id", "credit_move_id", "amount", "max_date"],
)


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "text"])
@pytest.mark.parametrize("engine", ["postgres", "duckdb file"])
def test_the_second_table_of_entries_may_stand_beside_the_first(engine, typed, request, tmp_path):
    told = {"write_offs": {"journal_id": ("9",)}, "as_of": "2024-06-30"}
    expected = open_entries(ODOO_LINES, "odoo", links=ODOO_LINKS, **told).to_frame()
    money, link = ({"balance": "numeric(18,4)"}, {"amount": "numeric(18,4)"}) if typed else ({}, {})
    tables = {"lines": (ODOO_LINES, money), "matched": (ODOO_LINKS, link)}
    if engine == "postgres":
        for name, (frame, types) in tables.items():
            put_into_postgres(request.getfixturevalue("postgres"), frame, types, name)
        source: object = request.getfixturevalue("server")
    else:
        source = tmp_path / "odoo.duckdb"
        with duckdb.connect(str(source)) as con:
            for name, (frame, types) in tables.items():
                con.register("frame", frame.astype(object))
                cells = [f'CAST("{c}" AS {types.get(c, "text")}) AS "{c}"' for c in frame]
                con.execute(f"CREATE TABLE {name} AS SELECT {', '.join(cells)} FROM frame")
    found = open_entries(source, "odoo", table="lines", links="matched", **told)
    assert "row" not in found.quality.rejected  # rows of a database have no order
    pd.testing.assert_frame_equal(found.to_frame(), expected, check_dtype=False)
    with pytest.raises(DataError, match=r"no table 'mathced'.*Did you mean 'matched'"):
        open_entries(source, "odoo", table="lines", links="mathced", **told)
