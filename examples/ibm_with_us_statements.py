"""The main job on data that nobody here wrote: the IBM sample ledger and US firms' statements.

No public file has both a receivables ledger and its customers' balance sheets, so the two are
PAIRED ARTIFICIALLY, by this rule:

1. customers are ranked by what they were invoiced up to the as-of day, largest first;
2. firms are ranked by net sales of their latest year, largest first, and as many as there are
   customers are taken at even distances down that ranking, from the first to the last;
3. the customer of rank j gets the statement of the j-th firm taken;
4. all statements are multiplied by one factor, so that the limits add up to LIMITS_TO_EXPOSURE
   times the open amount of the ledger.

The ledger itself is tame (nobody defaults in it); what this shows is that the main job runs, and
what it does, on a ledger of foreign make. It says nothing about bad debts.

usage: python examples/ibm_with_us_statements.py DATA_FOLDER [OUTPUT_FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import credit_portfolio as cp

AS_OF = "2013-09-30"
LIMITS_TO_EXPOSURE = 3.0
# Every return of this ledger lies between 23 and 25 %: edges that tell its customers apart.
EDGES = [-1, 0, 0.235, 0.24, 0.245, 0.25]
GOOD_FROM = 3
RULE = cp.ReturnRule(markup=0.25, funding_rate=0.08)


def latest_statements(firms: pd.DataFrame) -> pd.DataFrame:
    """Each firm's latest year in the columns of working_asset_limits, largest net sales first."""
    latest = firms.sort_values("fiscal_year").groupby("firm_id").tail(1)
    latest = latest.sort_values(["net_sales", "firm_id"], ascending=[False, True])
    return pd.DataFrame(
        {
            "customer_id": latest["firm_id"],
            "statement_date": latest["fiscal_year"],
            "current_assets": latest["current_assets"],
            "inventory": latest["inventory"],
            "current_liabilities": latest["total_current_liabilities"],
            "total_liabilities": latest["total_liabilities"],
            "total_assets": latest["total_assets"],
        }
    )


def pair(ledger: cp.Ledger, firms: pd.DataFrame) -> pd.DataFrame:
    """Statements for the ledger's customers by the rule at the head of this file."""
    invoiced = ledger.to_frame().groupby("customer_id")["amount"].sum().astype(float)
    customers = invoiced.sort_values(ascending=False, kind="stable").index
    ranked = latest_statements(firms)
    places = np.linspace(0, len(ranked) - 1, len(customers)).round().astype(int)
    taken = ranked.iloc[places].reset_index(drop=True)
    taken["customer_id"] = customers
    # In millions a cent is 10,000: too coarse a unit to round these limits down to.
    unscaled = cp.working_asset_limits(taken, unit=None)["limit"].sum()
    money = taken.columns.drop(["customer_id", "statement_date"])
    taken[money] *= LIMITS_TO_EXPOSURE * ledger.exposure().sum() / unscaled
    return taken


def run(ledger_file: Path, firms_file: Path) -> tuple[cp.Ledger, cp.Allocation]:
    """From the two files to the allocation."""
    ledger = cp.open_ledger(ledger_file, profile="ibm", as_of=AS_OF)
    panel = cp.ReturnPanel.from_ledger(ledger, RULE, period="quarter")
    firms = pd.read_csv(firms_file, dtype={"firm_id": str})
    limits = cp.working_asset_limits(pair(ledger, firms))
    model = cp.CreditPortfolio(EDGES, GOOD_FROM, targets="no_worse", unit=0.01)
    model.fit(panel, limits=limits, current=ledger.exposure())
    return ledger, model.allocation_


def main() -> None:
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    data = Path(sys.argv[1])
    ledger, allocation = run(
        data / "ibm_ar" / "WA_Fn-UseC_-Accounts-Receivable.csv",
        data / "us_statements" / "us_firm_years.csv.gz",
    )
    s = allocation.summary
    print("Artificial pairing: IBM sample ledger with statements of US firms (see the head).\n")
    print(allocation)
    print(f"invoices on {AS_OF}: {ledger.n_invoices:,}, open: {ledger.n_open}")
    print(f"standard deviation of the return, current book:  {s['current_standard_deviation']:.6%}")
    print(f"standard deviation of the return, proposed book: {s['standard_deviation']:.6%}")
    if len(sys.argv) == 3:
        out = Path(sys.argv[2])
        out.mkdir(parents=True, exist_ok=True)
        note = "Limits come from an artificial pairing with statements of US firms."
        path = cp.write_report(
            allocation,
            out / "report.html",
            quality=ledger.quality,
            ageing=ledger.ageing(),
            notes=[note],
        )
        print(f"report: {path}")


if __name__ == "__main__":
    main()
