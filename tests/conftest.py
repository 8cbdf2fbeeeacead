"""What every test shares: repeatable Hypothesis, and real data where they are present."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Derandomised: a failure on one machine is a failure on all. No deadline: timing is for benchmarks.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def ibm_ledger_csv() -> Path:
    """The IBM sample ledger, read where it lies; never part of this project."""
    path = SHARED_DATA / "ibm_ar" / "WA_Fn-UseC_-Accounts-Receivable.csv"
    if not path.exists():
        pytest.skip("the IBM sample ledger is not beside the project (../shared/data/ibm_ar)")
    return path


@pytest.fixture(scope="session")
def us_statements_csv() -> Path:
    """Statements of US firms, read where they lie; never part of this project."""
    path = SHARED_DATA / "us_statements" / "us_firm_years.csv.gz"
    if not path.exists():
        pytest.skip("the US statements are not beside the project (../shared/data/us_statements)")
    return path
