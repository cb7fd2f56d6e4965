"""Operations with int8 experts agree with their definitions, and with themselves when transfers are late."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.int8_experts import assert_as_defined, check_int8_experts, routed, shared, smoothed

from nkimoe import ops
from nkimoe.reference import expert_ops as definitions
from nkisim import Simulator

OF_ONE_EXPERT = "NKI408"  # a note: scales that all experts share are loaded under the same condition as others
SMALL = (150, 64, 256, 3, 2)


def test_the_layers_that_planted_mistakes_are_sought_with_pass() -> None:
    check_int8_experts()


@pytest.mark.parametrize("cores", [1, 2])
def test_a_single_column_between_the_projections(cores: int) -> None:
    """Two cores need two: another one of zeros, and zero scales, are added."""
    for operation, definition, arguments in (
        (ops.fused_experts, definitions.fused_experts_reference, routed(60, 1, 300, 3, 2)),
        (ops.fused_moe_smoothquant, definitions.fused_moe_smoothquant_reference, smoothed(60, 1, 128, 2, 1)),
        (ops.shared_expert, definitions.shared_expert_reference, shared(60, 1, 300)),
    ):
        assert_as_defined(operation[cores](**arguments), definition, arguments)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (ops.fused_experts, routed(*SMALL)),
        (ops.fused_moe_smoothquant, smoothed(*SMALL)),
        (ops.shared_expert, shared(*SMALL[:3])),
    ],
    ids=["fused_experts", "fused_moe_smoothquant", "shared_expert"],
)
def test_late_transfers_change_nothing(operation: Any, arguments: dict[str, Any]) -> None:
    compared = []

    def launch(kernel: Any, *given: Any) -> Any:
        compared.append(Simulator("trn2", 2).compare_dma_orders(kernel, *given))
        return np.zeros_like(given[0])

    operation.launched_by(launch)(**arguments)
    found = [finding for run in compared for finding in run.findings]
    assert len(compared) == 1
    assert all(finding.code == OF_ONE_EXPERT for finding in found), found
