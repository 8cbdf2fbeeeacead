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
from .portfolio import CreditPortfolio as CreditPortfolio
from .program.program import CreditProgram as CreditProgram
from .returns.panel import ReturnPanel as ReturnPanel
from .returns.rule import ProvisionMatrix as ProvisionMatrix, ReturnRule as ReturnRule
from .solvers import solve as solve
from .version import __version__ as __version__
