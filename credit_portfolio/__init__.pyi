from .allocation import Allocation as Allocation
from .backtesting import Backtest as Backtest, WalkForward as WalkForward, backtest as backtest
from .by_class import ClassAllocation as ClassAllocation, allocate_by_class as allocate_by_class
from .distribution import (
    ReturnDistribution as ReturnDistribution,
    return_distribution as return_distribution,
)
from .errors import (
    CreditPortfolioError as CreditPortfolioError,
    DataError as DataError,
    InfeasibleError as InfeasibleError,
    MissingDependencyError as MissingDependencyError,
    ModelError as ModelError,
    OutputError as OutputError,
    SolverError as SolverError,
)
from .evaluation.classes import (
    CustomerClasses as CustomerClasses,
    classes_by_label as classes_by_label,
    classes_by_profile as classes_by_profile,
)
from .evaluation.credible import degree_bands as degree_bands, row_intervals as row_intervals
from .evaluation.edges import (
    cost_of_funds_edges as cost_of_funds_edges,
    fixed_edges as fixed_edges,
    names_by_meaning as names_by_meaning,
    quantile_edges as quantile_edges,
)
from .evaluation.intervals import ReturnIntervals as ReturnIntervals
from .evaluation.sampling import smooth as smooth
from .evaluation.targets import Targets as Targets
from .explain import Explanation as Explanation, explain_infeasibility as explain_infeasibility
from .frontiers import Frontier as Frontier, frontier as frontier
from .ledger.entry_ledger import EntryLedger as EntryLedger
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
from .ledger.opening import open_entries as open_entries
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
from .program.alternatives import with_minimum_line as with_minimum_line
from .program.composition import compose as compose
from .program.controls import Controls as Controls
from .program.cvar import Tail as Tail
from .program.program import CreditProgram as CreditProgram
from .program.robust import RobustRow as RobustRow
from .program.turnover import Turnover as Turnover
from .report import write_report as write_report
from .returns.panel import ReturnPanel as ReturnPanel
from .returns.rule import ProvisionMatrix as ProvisionMatrix, ReturnRule as ReturnRule
from .simulate import SimulatedBook as SimulatedBook, simulate_book as simulate_book
from .solvers import Solution as Solution, solve as solve
from .solvers.branching import Branched as Branched, branch as branch
from .solvers.controlled import Controlled as Controlled, solve_controlled as solve_controlled
from .solvers.dask_ import solve_parquet as solve_parquet
from .version import __version__ as __version__
