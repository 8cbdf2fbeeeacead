from .allocation import Allocation as Allocation
from .errors import (
    CreditPortfolioError as CreditPortfolioError,
)
from .errors import (
    DataError as DataError,
)
from .errors import (
    InfeasibleError as InfeasibleError,
)
from .errors import (
    MissingDependencyError as MissingDependencyError,
)
from .errors import (
    ModelError as ModelError,
)
from .errors import (
    OutputError as OutputError,
)
from .errors import (
    SolverError as SolverError,
)
from .evaluation.intervals import ReturnIntervals as ReturnIntervals
from .evaluation.targets import Targets as Targets
from .ledger.schema import Profile as Profile
from .ledger.source import Ledger as Ledger
from .ledger.source import open_ledger as open_ledger
from .limits import (
    WORKING_ASSET_TABLE as WORKING_ASSET_TABLE,
)
from .limits import (
    WorkingAssetTable as WorkingAssetTable,
)
from .limits import (
    read_statements as read_statements,
)
from .limits import (
    working_asset_limits as working_asset_limits,
)
from .portfolio import CreditPortfolio as CreditPortfolio
from .program.program import CreditProgram as CreditProgram
from .report import write_report as write_report
from .returns.panel import ReturnPanel as ReturnPanel
from .returns.rule import ProvisionMatrix as ProvisionMatrix
from .returns.rule import ReturnRule as ReturnRule
from .simulate import SimulatedBook as SimulatedBook
from .simulate import simulate_book as simulate_book
from .solvers import solve as solve
from .version import __version__ as __version__
