# SPDX-License-Identifier: Apache-2.0
"""Makes operators callable on tiles, with the published parameters, and lists the functions that are not operators.

An operator stays what instructions take as `op=`; calling it issues one or a few instructions. Sine is both: as
`op=` the Scalar Engine's table for -pi..pi, as a function the sine of any angle.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from nkisim.language import (
    arithmetic,
    assignment,  # noqa: F401 - gives tensors their item assignment
    elementwise,
    normalization,
    reductions,
    selection,
    tiles,
    trigonometry,
)
from nkisim.operations.calls import explained
from nkisim.operations.operator_help import operator_help
from nkisim.operations.operators import OPERATORS

FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        arithmetic.ceil,
        arithmetic.divide,
        arithmetic.floor,
        arithmetic.fmod,
        arithmetic.logical_not,
        arithmetic.mod,
        arithmetic.negative,
        arithmetic.trunc,
        normalization.rms_norm,
        normalization.softmax,
        reductions.all,
        reductions.max,
        reductions.mean,
        reductions.min,
        reductions.prod,
        reductions.sum,
        reductions.var,
        selection.dropout,
        selection.gather_flattened,
        selection.rand,
        selection.random_seed,
        selection.where,
        tiles.broadcast_to,
        tiles.copy,
        tiles.expand_dims,
        tiles.load,
        tiles.load_transpose2d,
        tiles.matmul,
        tiles.store,
        tiles.transpose,
        trigonometry.cos,
        trigonometry.sin,
        trigonometry.tan,
    )
}


def _install() -> None:
    """Give every operator its behaviour on tiles, its published signature, and its help."""
    for name, op in OPERATORS.items():
        generic = functools.partial(elementwise.unary if op.arity == 1 else elementwise.binary, op)
        own = FUNCTIONS.pop(name, None)
        op.on_tiles = explained(f"nl.{name}", own or generic)
        vars(op)["__signature__"] = inspect.signature(own or generic)
        op.__doc__ = operator_help(op, inspect.getdoc(own) or "" if own else "")


_install()
