"""Layers without numerics: how fast the events of a large layer come."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim import Run
from speed.layers import QUICK, QWEN, LayerCase, simulate
from speed.timing import Say, interleaved

FULL = [LayerCase("qwen3-30b-a3b", QWEN, 4, tokens, 128) for tokens in (640, 4096, 8192)]
CASES = {True: QUICK, False: FULL}


def measure(case: LayerCase, repeats: int, say: Say) -> dict[str, Any]:
    """Time the simulation of a layer whose floating point tensors are one repeated zero."""
    say(f"without numerics: {case.name}, {case.tokens} tokens, blocks of {case.block_size}")
    data = case.draw()
    tensors = {name: _outline(value) for name, value in data.tensors.items()}
    times, results = interleaved({"nkisim": lambda: simulate(case, tensors, case.cores, numerics=False)}, repeats, say)
    run: Run = results["nkisim"]
    return {
        "model": case.name, "tp": case.tp, "tokens": case.tokens, "block_size": case.block_size, "cores": case.cores,
        "instructions": sum(run.profile.instructions.values()), "nkisim": times["nkisim"].as_json(),
    }  # fmt: skip


def _outline(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype.kind in "iu":
        return value
    return np.broadcast_to(np.zeros((), value.dtype), value.shape)
