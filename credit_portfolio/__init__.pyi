from .errors import (
    CreditPortfolioError as CreditPortfolioError,
    DataError as DataError,
    InfeasibleError as InfeasibleError,
    MissingDependencyError as MissingDependencyError,
    ModelError as ModelError,
    OutputError as OutputError,
    SolverError as SolverError,
)
from .program.program import CreditProgram as CreditProgram
from .solvers import solve as solve

__all__ = [
    "CreditPortfolioError",
    "CreditProgram",
    "DataError",
    "InfeasibleError",
    "MissingDependencyError",
    "ModelError",
    "OutputError",
    "SolverError",
    "solve",
]
