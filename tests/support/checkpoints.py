"""Checkpoints beside the reference."""

from __future__ import annotations

import numpy as np

from nkimoe.reference.tolerance import int8_tolerance, tolerance
from support.inputs import DTYPES
from support.launch import Outcome, plan_of, reference_checkpoints
from support.tolerance import assert_close


def check_checkpoints(outcome: Outcome) -> None:
    """Slots with a token agree with the reference; blocks that do not run hold zeros; every slot is finite."""
    case = outcome.case
    N = outcome.inputs["block_to_expert"].size
    ids = outcome.inputs["token_position_to_id"].reshape(N, case.B)
    real = (ids >= 0) & (ids < case.T)
    bounds = tolerance(case.computes_in, case.dtype, 1, case.weights)
    expected = reference_checkpoints(case, outcome.inputs)
    if case.int8_inputs:
        bounds = int8_tolerance(case.dtype, 1, case.I, case.down_bias_on_chip)
    assert len(outcome.checkpoints) == (1 if case.multiply_on_i else 2)
    for actual, wanted in zip(outcome.checkpoints, expected, strict=False):
        assert actual.shape == wanted.shape
        assert actual.dtype == DTYPES[case.dtype]
        assert np.isfinite(actual.astype(np.float32)).all()
        assert not actual[never_run(outcome)].astype(np.float32).any()
        rows = [
            np.moveaxis(t, 3, 1)[real].reshape(real.sum(), -1) if t.ndim == 4 else t[real] for t in (actual, wanted)
        ]
        assert_close(rows[0].astype(np.float32), rows[1], bounds)


def never_run(outcome: Outcome) -> np.ndarray:
    """Boolean [N]: the blocks of a device loop whose condition is 0."""
    N = outcome.inputs["block_to_expert"].size
    conditions = outcome.inputs.get("conditions", np.ones(N))[:N]
    return (np.arange(N) >= plan_of(outcome.case, outcome.inputs).static_blocks) & (conditions == 0)
