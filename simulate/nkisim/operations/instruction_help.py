# SPDX-License-Identifier: Apache-2.0
"""What `help` prints of an instruction: what its function says, and below that what is declared of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from nkisim.observe import Traits
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands

_EXAMPLE = re.compile(r"```.*?```", re.DOTALL)
_REVERSED = "the operand comes first: operand <op> data"
ARGUMENTS = {
    "op": "what is computed, an operator of nl",
    "engine": "which of the engines runs it; unknown leaves that to nkisim",
    "reverse0": _REVERSED,
    "reverse1": _REVERSED,
    "reduce_op": "by which operator of nl the fp32 results are reduced",
    "reduce_cmd": "of the engine's accumulator registers, a value a partition: idle lets them be, reset empties them, "
    "reduce goes on with what they hold, reset_reduce begins anew, load_reduce begins with a given value",
    "reduce_init": "what load_reduce begins with, a number or [P, 1]",
    "reduce_res": "[P, 1], receives the registers",
    "priority": "0, the most urgent, to 3, among transfers that compete, on NeuronCore-v4; here none do",
    "oob_mode": "error refuses a runtime index that is out of bounds, skip leaves out what it names",
    "dge_mode": "who makes the descriptors of the transfer: hwdge, swdge, or none, where they are made before; unknown "
    "leaves that to nkisim",
    "tile_position": "the first row and column of the PE's tile that is used, with tile_size",
    "tile_size": "rows and columns of that tile, each 32, 64 or 128",
    "name": "of the instruction in traces and tables, once in a kernel",
}
"""What arguments of many instructions mean, for those that do not say it themselves."""


def help_text(
    body: Callable[..., Any], traits: Traits, engines: tuple[Engine, ...], indirect: IndirectOperands, limit: str
) -> str:
    """The docstring of the instruction that `body` checks and describes."""
    described = inspect.cleandoc(body.__doc__ or "")
    lines = [
        f"Engines: {', '.join(engine.name for engine in engines)}.",
        f"Cost: {traits.cost.name} ({traits.cost.value}).",
    ]
    if indirect.names:
        lines.append(f"Indirect operands: {', '.join(indirect.names)}.")
    if limit:
        lines.append(f"Limit: {limit}.")
    shared = [name for name in inspect.signature(body).parameters if name in ARGUMENTS and not names(described, name)]
    lines += [f"{name}: {ARGUMENTS[name]}." for name in shared]
    return "\n\n".join([described, "\n".join(lines)])


def names(text: str, parameter: str) -> bool:
    """Whether a docstring says something of a parameter; its example does not."""
    return re.search(rf"\b{parameter}\b", _EXAMPLE.sub("", text)) is not None
