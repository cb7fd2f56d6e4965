"""Checkpoints beside the reference."""

from __future__ import annotations

import numpy as np

from nkimoe.reference.tolerance import int8_tolerance, tolerance
from support.inputs import DTYPES
from support.launch import Outcome, reference_checkpoints
from support.tolerance import assert_close


def check_checkpoints(outcome: Outcome) -> None:
    """Slots with a token agree with the reference; every slot is finite."""
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
        rows = [
            np.moveaxis(t, 3, 1)[real].reshape(real.sum(), -1) if t.ndim == 4 else t[real] for t in (actual, wanted)
        ]
        assert_close(rows[0].astype(np.float32), rows[1], bounds)
