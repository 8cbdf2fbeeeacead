"""Credit limits: how much each customer may owe at most, in money, and why."""

from credit_portfolio.limits.statements import Statements, check_statements, read_statements
from credit_portfolio.limits.working_assets import (
    WORKING_ASSET_TABLE,
    WORKING_ASSET_TABLE_OF_SYSTEM,
    LimitReason,
    WorkingAssetTable,
    working_asset_limits,
)

__all__ = [
    "WORKING_ASSET_TABLE",
    "WORKING_ASSET_TABLE_OF_SYSTEM",
    "LimitReason",
    "Statements",
    "WorkingAssetTable",
    "check_statements",
    "read_statements",
    "working_asset_limits",
]
