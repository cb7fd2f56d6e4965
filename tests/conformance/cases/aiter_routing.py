"""`moe_align_block_size` and `routing_sigmoid_top1` beside aiter's references."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from conformance.cases.beside import judge, judge_equal, simulated
from conformance.kernel_run import TestManager
from conformance.reference_functions import ReferenceFile
from conformance.session import SETUP
from nkimoe.ops import moe_align_block_size, routing_sigmoid_top1

CHECKOUT, FOLDER = Path(SETUP["checkout"]), "op_tests/triton_tests/moe"
ALIGN = ReferenceFile(
    CHECKOUT, f"{FOLDER}/test_moe_align_block_size.py", triton=SimpleNamespace(cdiv=lambda a, b: -(-a // b))
)
(torch_align,) = ALIGN.functions("torch_moe_align_block_size")
TOP_1 = ReferenceFile(CHECKOUT, f"{FOLDER}/test_moe_routing_sigmoid_top1_fused.py")
(torch_top_1,) = TOP_1.functions("torch_routing_sigmoid_top1")


def _name(case: dict[str, Any]) -> str:
    return "-".join(str(value) for value in case.values()).replace("torch.", "")


@pytest.mark.parametrize("case", ALIGN.cases("test_correctness"), ids=_name)
def test_align(case: dict[str, Any]) -> None:
    torch.manual_seed(0)
    E, B = case["E"], case["block_size"]
    _, ids = torch.topk(torch.randn(case["M"], E), k=case["top_k"], dim=1)
    theirs = [tensor.numpy() for tensor in torch_align(ids, E, B)]
    ours = simulated(moe_align_block_size)(ids, E, B)
    rows = int(theirs[2][0])
    right = _aligned(ids.numpy(), E, B)
    judge_equal("rows in use", [ours[2]], [rows], [len(right[0])])
    for what, mine, other, wanted, count in zip(
        ("pairs", "experts"), ours, theirs, right, (rows, rows // B), strict=False
    ):
        judge_equal(what, mine[:count], other[:count], wanted)


def _aligned(ids: Any, E: int, B: int) -> tuple[Any, Any]:
    pairs, experts = [], list[int]()
    for e in range(E):
        own = np.flatnonzero(ids.ravel() == e)
        blocks = -(-len(own) // B)
        pairs.append(np.pad(own, (0, blocks * B - len(own)), constant_values=ids.size))
        experts += [e] * blocks
    return np.concatenate(pairs), np.array(experts)


@pytest.mark.parametrize("case", TOP_1.cases("test_routing_sigmoid_top1"), ids=_name)
def test_sigmoid_top_1(case: dict[str, Any], test_manager: TestManager) -> None:
    torch.manual_seed(7)
    M, N, K = case["M"], case["N"], case["K"]
    x, w = (torch.randint(-2, 3, shape).to(case["dtype"]) for shape in ((M, K), (K, N)))
    shared = torch.full((M, 1), N, dtype=torch.int32), torch.ones(M, 1)
    their_ids, their_weights = torch_top_1(x, w, 1, True, *shared)
    weights, ids = simulated(routing_sigmoid_top1)(x, w, fused_shared_experts=True)
    logits = x.double() @ w.double()
    right = logits.max(dim=1).values.sigmoid()[:, None].numpy()
    judge(test_manager, weights, their_weights, np.concatenate([right, np.ones((M, 1))], axis=1), 1e-5)
    judge_equal("ids", ids[:, 0], their_ids[:, 0], logits.argmax(dim=1))
