"""What is measured, and how: seconds, a pull over K as the unit of time, bytes, the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from credit_portfolio.program.program import CreditProgram

# Columns that a thread takes at a time. The unit of time must not move when the solver is tuned,
# so that it is measured by this plain kernel and not by the solver's own.
_BLOCK = 8_192
THREADS = 2
_MEBI = 2**20


def pull_seconds(program: CreditProgram, runs: int = 15) -> float:
    """Median time of one Kᵀv, K = [F; A], by two threads over blocks of columns.

    This is the unit in which the solver's time is told: it reads each number of the program once.
    """
    F, A, n = program.factors, program.rows, program.n_customers
    of_factors, of_rows = np.ones(program.n_factors), np.ones(program.n_rows)
    out = np.empty(n)

    def block(at: slice) -> None:
        here = of_factors @ F[:, at]
        here += of_rows @ A[:, at]
        out[at] = here

    blocks = [slice(first, min(n, first + _BLOCK)) for first in range(0, n, _BLOCK)]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(THREADS) as pool:
        return statistics.median(seconds(lambda: list(pool.map(block, blocks)), runs))


def seconds(work: Callable[[], object], runs: int) -> list[float]:
    """Time the work so many times, after one run that does not count."""
    work()
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return taken


def program_bytes(program: CreditProgram) -> int:
    """Size of the program's own arrays."""
    A = program.rows
    rows = A.nbytes if isinstance(A, np.ndarray) else A.data.nbytes + A.indices.nbytes
    parts = ("factors", "idiosyncratic", "linear", "lower", "upper")
    return rows + sum(getattr(program, part).nbytes for part in parts)


def forget_peak() -> None:
    """Start measuring the peak of this process's memory anew, where the system can (Linux).

    What the allocator keeps of memory that was freed goes back first: a solver could work in it
    without being seen.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
        if trim is not None:
            trim(0)
    control = Path("/proc/self/clear_refs")
    if control.exists():
        control.write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """Largest memory of this process since ``forget_peak``, or since its start elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        return _status(status, "VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def current_bytes() -> int:
    """Memory of this process now; its peak where the system does not tell."""
    status = Path("/proc/self/status")
    return _status(status, "VmRSS") if status.exists() else peak_bytes()


def _status(path: Path, name: str) -> int:
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{path} does not tell {name}")


def machine(libraries: Sequence[str]) -> list[str]:
    """Describe processor, memory and versions, and nothing that names the machine itself."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    told = [f"{name} {_version(name)}" for name in libraries]
    return [
        f"{_cores()} cores of {_processor()}, {memory:.0f} GB of memory, {platform.system()}",
        f"Python {platform.python_version()}, {', '.join(told)}",
        f"{os.getloadavg()[1]:.1f} processes wanted the cores in the five minutes before",
    ]


def mebi(size: float) -> float:
    """Bytes as MiB."""
    return size / _MEBI


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found: dict[str, str] = {}
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    if "model name" not in found:
        return platform.processor() or platform.machine()
    # A virtual machine may hide the model's number; family and model tell the generation.
    return f"{found['model name']} (family {found['cpu family']}, model {found['model']})"
