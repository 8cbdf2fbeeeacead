"""The commands on ledgers of entries: the same facts in each system's shape give the same page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import credit_portfolio as cp
from tests.commands import run

AS_OF = "2023-12-31"

Shape = tuple[dict[str, pd.DataFrame], list[str]]  # file -> rows, and the options to read them


@pytest.fixture(scope="module")
def facts() -> pd.DataFrame:
    """Return invoices of which each is open, paid in full, or lost in full."""
    rows = cp.simulate_book(n_customers=20, n_invoices=400, seed=5).invoices
    lost = rows["written_off_amount"] > 0
    assert lost.sum() > 5
    rows["written_off_amount"] = rows["amount"].where(lost, 0.0)
    rows["settled_amount"] = (rows["amount"] - rows["written_off_amount"]).where(
        rows["settled_date"].notna()
    )
    return rows.drop(columns=["disputed"])


def settled_of(facts: pd.DataFrame) -> pd.DataFrame:
    return facts[facts["settled_date"].notna()]


def how_settled(rows: pd.DataFrame, paid: str, lost: str) -> pd.Series:
    return (rows["written_off_amount"] > 0).map({True: lost, False: paid})


def as_entries(facts: pd.DataFrame) -> Shape:
    ends = settled_of(facts)
    own = {"customer_id": facts["customer_id"], "region": facts["region"]}
    invoices = pd.DataFrame(
        own
        | {
            "document": facts["invoice_id"],
            "against_document": "",
            "kind": "invoice",
            "booking_date": facts["invoice_date"],
            "due_date": facts["due_date"],
            "amount": facts["amount"],
        }
    )
    others = pd.DataFrame(
        {
            "customer_id": ends["customer_id"],
            "region": ends["region"],
            "document": "P" + ends["invoice_id"],
            "against_document": ends["invoice_id"],
            "kind": how_settled(ends, "payment", "write_off"),
            "booking_date": ends["settled_date"],
            "due_date": pd.NaT,
            "amount": -ends["amount"],
        }
    )
    return {"entries.csv": pd.concat([invoices, others])}, ["--profile", "entries"]


def as_sap(facts: pd.DataFrame) -> Shape:
    ends = settled_of(facts)
    cleared = facts["settled_date"].dt.strftime("%Y%m%d").fillna("00000000")
    invoices = pd.DataFrame(
        {
            "KUNNR": facts["customer_id"].str[1:],
            "BELNR": facts["invoice_id"],
            "BUZEI": "1",
            "BSCHL": "01",
            "SHKZG": "S",
            "BUDAT": facts["invoice_date"].dt.strftime("%Y%m%d"),
            "FAEDT": facts["due_date"].dt.strftime("%Y%m%d"),
            "DMBTR": facts["amount"],
            "AUGBL": ("9" + facts["invoice_id"].str[1:]).where(facts["settled_date"].notna(), ""),
            "AUGDT": cleared,
            "RSTGR": "",
            "region": facts["region"],
        }
    )
    others = pd.DataFrame(
        {
            "KUNNR": ends["customer_id"].str[1:],
            "BELNR": "9" + ends["invoice_id"].str[1:],
            "BUZEI": "1",
            "BSCHL": "15",
            "SHKZG": "H",
            "BUDAT": ends["settled_date"].dt.strftime("%Y%m%d"),
            "FAEDT": "00000000",
            "DMBTR": ends["amount"],
            "AUGBL": "9" + ends["invoice_id"].str[1:],
            "AUGDT": ends["settled_date"].dt.strftime("%Y%m%d"),
            "RSTGR": how_settled(ends, "", "WOF"),
            "region": ends["region"],
        }
    )
    rows = pd.concat([invoices, others])
    return {"sap.csv": rows}, ["--profile", "sap", "--write-offs", "RSTGR=WOF,WOG"]


def as_erpnext(facts: pd.DataFrame) -> Shape:
    entries = as_entries(facts)[0]["entries.csv"]
    invoice = entries["kind"] == "invoice"
    rows = pd.DataFrame(
        {
            "party": entries["customer_id"],
            "voucher_no": entries["document"],
            "voucher_type": invoice.map({True: "Sales Invoice", False: "Journal Entry"}),
            "against_voucher_no": entries["against_document"].where(~invoice, entries["document"]),
            "posting_date": entries["booking_date"],
            "due_date": entries["due_date"],
            "amount": entries["amount"],
            "journal_type": (entries["kind"] == "write_off").map({True: "Write Off", False: ""}),
            "region": entries["region"],
        }
    )
    options = ["--profile", "erpnext", "--write-offs", "journal_type=Write Off"]
    return {"erpnext.csv": rows}, options


def as_odoo(facts: pd.DataFrame) -> Shape:
    entries = as_entries(facts)[0]["entries.csv"].reset_index(drop=True)
    invoice = entries["kind"] == "invoice"
    lines = pd.DataFrame(
        {
            "id": entries.index + 1,
            "move_name": entries["document"],
            "move_type": invoice.map({True: "out_invoice", False: "entry"}),
            "journal_id": (entries["kind"] == "write_off").map({True: "9", False: "5"}),
            "partner_id": entries["customer_id"],
            "date": entries["booking_date"],
            "date_maturity": entries["due_date"],
            "balance": entries["amount"],
            "region": entries["region"],
        }
    )
    number = dict(zip(lines["move_name"], lines["id"], strict=True))
    ends = entries[~invoice]
    links = pd.DataFrame(
        {
            "debit_move_id": ends["against_document"].map(number),
            "credit_move_id": ends["document"].map(number),
            "amount": -ends["amount"],
            "max_date": ends["booking_date"],
        }
    )
    options = ["--profile", "odoo", "--write-offs", "journal_id=9", "--links", "{folder}/links.csv"]
    return {"lines.csv": lines, "links.csv": links}, options


def as_highradius(facts: pd.DataFrame) -> Shape:
    done = facts["settled_date"].notna()
    rows = pd.DataFrame(
        {
            "cust_number": facts["customer_id"],
            "doc_id": facts["invoice_id"] + ".0",
            "posting_date": facts["invoice_date"],
            "due_in_date": facts["due_date"].dt.strftime("%Y%m%d.0"),
            "invoice_currency": facts["currency"],
            "total_open_amount": facts["amount"],
            "clear_date": facts["settled_date"],
            "isOpen": done.map({True: "0", False: "1"}),
            "reason": how_settled(facts, "", "bad debt"),
            "region": facts["region"],
        }
    )
    options = ["--profile", "highradius", "--write-offs", "reason=bad debt", "--currency", "EUR"]
    return {"highradius.csv": rows}, options


def as_settlement_codes(facts: pd.DataFrame) -> Shape:
    rows = facts[
        ["customer_id", "invoice_id", "invoice_date", "due_date", "amount", "settled_date"]
    ]
    codes = how_settled(facts, "Z1", "A9").where(facts["settled_date"].notna(), "")
    rows = rows.assign(ART=codes, region=facts["region"])
    return {"codes.csv": rows}, ["--settings", "{folder}/codes.toml"]


SHAPES: dict[str, Callable[[pd.DataFrame], Shape]] = {
    "entries": as_entries,
    "sap": as_sap,
    "erpnext": as_erpnext,
    "odoo": as_odoo,
    "highradius": as_highradius,
    "settlement_code": as_settlement_codes,
}
CODES = """
[ledger]
profile = "settlement_code"

[ledger.settlement]
column = "ART"
codes = { payment = ["Z1", "Z2"], write_off = ["A9"] }
"""


@pytest.fixture
def written(facts: pd.DataFrame, tmp_path: Path) -> Callable[[str], list[object]]:
    """Return a writer of the facts in a system's shape, which gives source and options."""

    def write(system: str) -> list[object]:
        files, options = SHAPES[system](facts)
        for name, rows in files.items():
            rows.to_csv(tmp_path / name, index=False, float_format="%.2f")
        (tmp_path / "codes.toml").write_text(CODES, encoding="utf-8")
        first = tmp_path / next(iter(files))
        return [first, *[option.format(folder=tmp_path) for option in options], "--as-of", AS_OF]

    return write


def answers(command: str, arguments: list[object], folder: Path, *further: object) -> dict:
    file = folder / f"{command}.json"
    done = run(command, *arguments, "--out", file, *further)
    assert done.returncode == 0, done.stderr
    assert "reading the ledger" in done.stderr
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("system", SHAPES)
def test_every_system_gives_the_figures_of_its_invoices(
    system: str, written: Callable[[str], list[object]], facts: pd.DataFrame, tmp_path: Path
) -> None:
    ledger = cp.open_ledger(facts, as_of=AS_OF)
    source = written(system)

    aged = answers("ageing", source, tmp_path, "--by", "region")
    assert (aged["rows_rejected"], aged["currency"]) in [(0, ""), (0, "EUR")]
    found = pd.DataFrame(aged["ageing"]).set_index("region")
    pd.testing.assert_frame_equal(
        found, ledger.ageing("region"), check_index_type=False, check_dtype=False, atol=0.005
    )

    series = pd.DataFrame(answers("indicators", source, tmp_path, "--over", 3)["indicators"])
    expected = cp.indicators(ledger, over=3).reset_index(drop=True)
    figures = [name for name in expected if name != "days"]
    pd.testing.assert_frame_equal(
        series[figures].astype("float64"), expected[figures].astype("float64"), rtol=1e-9
    )

    totals = pd.DataFrame(answers("quality", source, tmp_path)["totals"]).set_index("total")
    control = ledger.quality.control_totals["money"]
    # A ledger of entries says what it does not know to be paid as open, and no other part differs.
    for name in ("amount", "collected", "written_off", "open"):
        assert float(totals["money"][name]) == pytest.approx(float(control[name]), abs=0.005)


@pytest.mark.parametrize("system", ["sap", "erpnext", "odoo", "highradius"])
def test_what_tells_a_write_off_is_asked_with_the_option_that_says_it(
    system: str, written: Callable[[str], list[object]]
) -> None:
    words = written(system)
    place = words.index("--write-offs")
    done = run("quality", *words[:place], *words[place + 2 :])
    assert done.returncode == 64
    assert "cannot tell a write-off from a payment" in done.stderr
    assert "on the command line: --write-offs COLUMN=TEXT,… or none" in done.stderr


def test_a_column_that_is_not_there_is_named_with_the_option_that_named_it(
    written: Callable[[str], list[object]],
) -> None:
    words = written("sap")
    words[words.index("--write-offs") + 1] = "NOPE=WOF"
    done = run("ageing", *words)
    assert done.returncode == 1
    assert "'NOPE' stands in write_offs=." in done.stderr
    assert "on the command line: --write-offs COLUMN=TEXT" in done.stderr
    words = written("sap")
    done = run("ageing", *words, "--by", "regio")
    assert "has no column 'regio' to group by" in done.stderr
    assert "Did you mean 'region'" in done.stderr


def test_a_loss_that_counts_as_paid_changes_the_figures(
    written: Callable[[str], list[object]], facts: pd.DataFrame, tmp_path: Path
) -> None:
    words = written("sap")
    told = pd.DataFrame(answers("indicators", words, tmp_path, "--days", 1100)["indicators"])
    words[words.index("--write-offs") + 1] = "none"
    paid = pd.DataFrame(answers("indicators", words, tmp_path, "--days", 1100)["indicators"])
    lost = facts["written_off_amount"].sum()
    assert told["written_off"][0] == pytest.approx(lost)
    assert paid["written_off"][0] == 0
    assert paid["collected"][0] - told["collected"][0] == pytest.approx(lost)


def test_both_tables_may_stand_in_a_database(
    written: Callable[[str], list[object]], tmp_path: Path
) -> None:
    of_files = answers("ageing", written("odoo"), tmp_path)
    place = tmp_path / "odoo.duckdb"
    with duckdb.connect(str(place)) as database:
        for name in ("lines", "links"):
            rows = database.read_csv(str(tmp_path / f"{name}.csv"), all_varchar=True)
            rows.create(f"{name}; drop table lines")
    options = ["--profile", "odoo", "--write-offs", "journal_id=9", "--as-of", AS_OF]
    options += ["--table", "lines; drop table lines", "--links", "links; drop table lines"]
    of_tables = answers("ageing", [place, *options], tmp_path)
    assert of_tables["ageing"] == of_files["ageing"]
    options[-1] = str(tmp_path / "links.csv")
    done = run("ageing", place, *options)
    assert done.returncode == 64
    assert "expected the name of another table there" in done.stderr
    options[-1] = "link"
    done = run("ageing", place, *options)
    assert done.returncode == 1
    assert "has no table 'link'" in done.stderr


def test_a_run_on_entries_is_kept_with_all_that_it_read(
    written: Callable[[str], list[object]], tmp_path: Path
) -> None:
    options = ["--outside", "clip", "--markup", "0.25", "--groups", "region", "--classes", "region"]
    done = run("allocate", *written("odoo"), *options, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert [file["name"] for file in record["inputs"]] == ["lines.csv", "links.csv"]
    assert record["settings"]["ledger"]["write_offs"] == {"journal_id": ["9"]}
    assert record["settings"]["ledger"]["groups"] == ["region"]


def test_a_settings_file_says_all_that_options_say(
    written: Callable[[str], list[object]], tmp_path: Path
) -> None:
    source, *options = written("odoo")
    toml = tmp_path / "deep" / "run.toml"
    toml.parent.mkdir()
    toml.write_text(
        '[ledger]\nprofile = "odoo"\nlinks = "../links.csv"\ngroups = ["region"]\n'
        f"as_of = {AS_OF}\nwrite_offs = {{ journal_id = ['9'] }}\n",
        encoding="utf-8",
    )
    assert answers("ageing", [source, "--settings", toml], tmp_path) == answers(
        "ageing", [source, *options], tmp_path
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--write-offs", "none"],
            "'write_offs' mean nothing for a ledger with one row an invoice",
        ),
        (["--links", "x.csv", "--groups", "a"], "'links', 'groups' mean nothing"),
        (["--profile", "entries", "--groups", "region,"], "--groups is 'region,'; expected names"),
        (["--profile", "spa"], "Did you mean 'sap'"),
        (["--profile", "sap", "--write-offs", "RSTGR"], "--write-offs is 'RSTGR'; expected"),
        (["--profile", "sap", "--write-offs", "RSTGR=a,"], "--write-offs is 'RSTGR=a,'"),
        (["--profile", "sap", "--write-offs", "none", "--links", "x"], "has no second table"),
        (["--profile", "odoo", "--write-offs", "none"], "on the command line: --links"),
        (["--profile", "entries", "--write-offs", "none"], "tells write-offs by itself"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    arguments: list[str], says: str, written: Callable[[str], list[object]]
) -> None:
    done = run("ageing", written("entries")[0], *arguments)
    assert done.returncode == 64, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_numbers_that_start_anew_each_year_are_joined_with_it(
    written: Callable[[str], list[object]], tmp_path: Path
) -> None:
    source, *options = written("sap")
    rows = pd.read_csv(str(source), dtype=str, keep_default_na=False)
    rows["GJAHR"] = rows["BUDAT"].str[:4]
    later = rows["BSCHL"].eq("01") & rows["GJAHR"].eq("2023") & rows["AUGBL"].eq("")
    earlier = rows["BSCHL"].eq("01") & rows["GJAHR"].eq("2021")
    rows.loc[later, "BELNR"] = rows.loc[earlier, "BELNR"].iloc[: later.sum()].to_numpy()
    rows.to_csv(str(source), index=False)
    alone = answers("ageing", [source, *options], tmp_path)
    toml = tmp_path / "run.toml"
    toml.write_text('[ledger.columns]\ndocument = ["BELNR", "GJAHR"]\n', encoding="utf-8")
    joined = answers("ageing", [source, *options, "--settings", toml], tmp_path)
    assert alone["rows_rejected"] >= 2 * later.sum() > 0
    assert joined["rows_rejected"] == 0


def test_a_source_of_a_system_without_its_profile_is_told_which_fits(
    written: Callable[[str], list[object]],
) -> None:
    for system in ("sap", "highradius", "entries"):
        done = run("quality", written(system)[0])
        assert done.returncode == 1
        assert f"They fit '{system}', a profile of entries" in done.stderr
        assert "on the command line: columns of [ledger] in the file of --settings, --profile" in (
            done.stderr
        )
