"""Run the demo as a user does and look at what it left: ``python -m tests.smoke``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED = {
    "allocation.csv",
    "allocation.json",
    "allocation.xlsx",
    "invoices.csv",
    "report.html",
    "run.json",
    "statements.csv",
}


def main() -> None:
    command = Path(sys.executable).with_name("credit-portfolio")
    with tempfile.TemporaryDirectory() as folder:
        size = ["--customers", "60", "--invoices", "4000"]
        subprocess.run([command, "demo", "--out", folder, *size], check=True, timeout=300)
        missing = EXPECTED - {path.name for path in Path(folder).iterdir()}
        if missing:
            raise SystemExit(f"the demo left out {sorted(missing)}")
        record = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
        if not record["certificate"]["holds"]:
            raise SystemExit(f"the demo's certificate does not hold: {record['certificate']}")
    print("smoke: the demo ran and its certificate holds")


if __name__ == "__main__":
    main()
