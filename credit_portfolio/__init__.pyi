from .allocation import Allocation as Allocation
from .errors import (
    CreditPortfolioError as CreditPortfolioError,
    DataError as DataError,
    InfeasibleError as InfeasibleError,
    MissingDependencyError as MissingDependencyError,
    ModelError as ModelError,
    OutputError as OutputError,
    SolverError as SolverError,
)
from .evaluation.intervals import ReturnIntervals as ReturnIntervals
from .evaluation.targets import Targets as Targets
from .ledger.examination import (
    examine as examine,
    exposures as exposures,
    possible_copies as possible_copies,
)
from .ledger.identities import look_alikes as look_alikes
from .ledger.indicators import (
    concentration as concentration,
    indicators as indicators,
    roll_rates as roll_rates,
)
from .ledger.opening import EntryLedger as EntryLedger, open_entries as open_entries
from .ledger.profiles import (
    EntryProfile as EntryProfile,
    KindRule as KindRule,
    Sides as Sides,
    settlement_profile as settlement_profile,
)
from .ledger.repairs import Repairs as Repairs, Terms as Terms
from .ledger.schema import Profile as Profile
from .ledger.source import Ledger as Ledger, open_ledger as open_ledger
from .limits import (
    WORKING_ASSET_TABLE as WORKING_ASSET_TABLE,
    Statements as Statements,
    WorkingAssetTable as WorkingAssetTable,
    read_statements as read_statements,
    working_asset_limits as working_asset_limits,
)
from .portfolio import CreditPortfolio as CreditPortfolio
from .program.program import CreditProgram as CreditProgram
from .report import write_report as write_report
from .returns.panel import ReturnPanel as ReturnPanel
from .returns.rule import ProvisionMatrix as ProvisionMatrix, ReturnRule as ReturnRule
from .simulate import SimulatedBook as SimulatedBook, simulate_book as simulate_book
from .solvers import Solution as Solution, solve as solve
from .solvers.dask_ import solve_parquet as solve_parquet
from .version import __version__ as __version__
