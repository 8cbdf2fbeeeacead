"""What the main job takes: ``python -m benchmarks.main_job`` prints the table.

Each figure comes from fresh processes, so that imports and memory are counted; the median of
``RUNS`` is shown with the smallest and largest. The package's own time is set against the time of
``python -c pass`` and of ``import numpy`` in the same run, since machines differ.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 5
CUSTOMERS, PERIODS = 10_000, 36

ALLOCATION = f"""
import json, resource, time
import numpy as np, pandas as pd
import credit_portfolio as cp

rng = np.random.default_rng(7)
n, m = {CUSTOMERS}, {PERIODS}
trouble = rng.random((m, n)) < rng.beta(1, 12, n)
returns = np.where(trouble, rng.uniform(-1, 0.2, (m, n)), rng.uniform(0.2, 0.25, (m, n)))
returns += 0.02 * np.minimum(rng.standard_normal((m, 1)), 0)
returns = np.clip(np.where(rng.random((m, n)) < 0.1, np.nan, returns), -1, 0.25)
ids = [f"C{{i:06d}}" for i in range(n)]
panel = cp.ReturnPanel.from_frame(pd.DataFrame(returns, columns=ids))
current = pd.Series(rng.lognormal(10, 1, n), index=ids)
limits = pd.Series(rng.lognormal(11, 1, n), index=ids)
model = cp.CreditPortfolio([-1, 0, 0.15, 0.2, 0.235, 0.25], good_from=3, max_share=0.01)
started = time.perf_counter()
model.fit(panel, limits=limits, current=current)
print(json.dumps({{
    "seconds": time.perf_counter() - started,
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "certificate": model.allocation_.certificate.worst,
    "deviation": model.allocation_.summary["standard_deviation"],
}}))
"""


def fresh(code: str) -> str:
    """Run code in a new interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout


def wall(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def spread(values: list[float], unit: str) -> str:
    middle = statistics.median(values)
    return f"{middle:8.3f} {unit}  ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    script = str(Path(sys.executable).with_name("credit-portfolio"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import numpy": [sys.executable, "-c", "import numpy"],
        "import credit_portfolio": [sys.executable, "-c", "import credit_portfolio"],
        "credit-portfolio --help": [script, "--help"],
    }
    for command in commands.values():
        wall(command)  # once, so that every file is in the disk cache
    for name, command in commands.items():
        print(f"{name:28} {spread([wall(command) for _ in range(RUNS)], 's')}")
    results = [json.loads(fresh(ALLOCATION)) for _ in range(RUNS)]
    title = f"{CUSTOMERS:,} customers x {PERIODS}"
    print(f"{title:28} {spread([r['seconds'] for r in results], 's')}  from panel to allocation")
    print(f"{'  peak memory of the process':28} {spread([r['megabytes'] for r in results], 'MB')}")
    print(f"{'  certificate':28} {max(r['certificate'] for r in results):8.1e}")


if __name__ == "__main__":
    main()
