"""Small kernels that bring about the situations in which devices were measured.

Each takes `rows`, row numbers 0, 1, ... [ROWS, 1] int32 in HBM, and parameters from `measurements.toml`; HBM tensors of
its own hold nothing, as no time depends on values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from calibrate.tape import launch
from nkisim.observe import Observer

ROWS = 8192
Body = Callable[..., None]
KERNELS: dict[str, Body] = {}


def kernel(body: Body) -> Body:
    """Make `body` known by its name."""
    KERNELS[body.__name__] = body
    return body


def run(observer: Observer, name: str, parameters: dict[str, Any], cores: int = 1) -> None:
    """Launch a kernel by name."""
    import nki

    body = partial(KERNELS[name], **parameters)

    @nki.jit
    def entry(rows: Any) -> Any:
        body(rows)
        return rows

    launch(observer, entry, np.arange(ROWS, dtype=np.int32).reshape(ROWS, 1), lnc=cores)
