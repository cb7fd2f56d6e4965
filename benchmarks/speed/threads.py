"""How many threads the arithmetic libraries take. Imports none of them."""

from __future__ import annotations

import os
import sys

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def limit_threads(count: int) -> None:
    """Give every arithmetic library `count` threads. Must run before NumPy's BLAS, torch and XLA are loaded.

    Raises:
        RuntimeError: it is too late.
    """
    if loaded := [name for name in ("numpy", "torch", "jax") if sys.modules.get(name) is not None]:
        raise RuntimeError(f"{', '.join(loaded)} was imported before the thread count was set")
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    if count == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
