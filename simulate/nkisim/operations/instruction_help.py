# SPDX-License-Identifier: Apache-2.0
"""What `help` prints of an instruction: what its function says, and below that what is declared of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nkisim.observe import Traits
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands


def help_text(
    body: Callable[..., Any], traits: Traits, engines: tuple[Engine, ...], indirect: IndirectOperands, limit: str
) -> str:
    """The docstring of the instruction that `body` checks and describes."""
    lines = [
        f"Engines: {', '.join(engine.name for engine in engines)}.",
        f"Cost: {traits.cost.name} ({traits.cost.value}).",
    ]
    if indirect.names:
        lines.append(f"Indirect operands: {', '.join(indirect.names)}.")
    if limit:
        lines.append(f"Limit: {limit}.")
    return "\n\n".join([inspect.cleandoc(body.__doc__ or ""), "\n".join(lines)])
