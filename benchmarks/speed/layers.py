"""nkisim against NumPy on MoE layers: the same inputs, the kernel simulated, the reference computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.cli.layer_data import LayerData, make_layer, read_text
from nkimoe.models import MODELS, Model, RankLayout
from nkimoe.moe_cte import moe_cte
from nkimoe.reference import moe_cte_reference
from nkimoe.reference.roofline import layer_work
from nkimoe.reference.tolerance import distance, tolerance
from nkimoe.routing import RoutingRule
from nkimoe.spec import MoECTEImplementation, MoECTESpec, SkipMode
from nkisim import Run, Simulator
from nkisim.observe import Event, Finding, Observer
from speed.timing import Say, interleaved

TARGET = "trn2"


@dataclass(frozen=True)
class LayerCase:
    """One layer of one model on one rank."""

    name: str
    model: Model
    tp: int
    tokens: int
    block_size: int
    cores: int = 2

    def draw(self) -> LayerData:
        return make_layer(self.model, RankLayout(self.tp), self.tokens, self.block_size, read_text(None), lambda: None)


QWEN = MODELS["qwen3-30b-a3b"]
DEMO = LayerCase("qwen3-30b-a3b", QWEN, 4, 640, 128)
FULL = [DEMO, LayerCase("qwen3-30b-a3b", QWEN, 4, 4096, 128), LayerCase("qwen3-30b-a3b", QWEN, 4, 4096, 512)]
QUICK = [LayerCase("small", Model(H=512, I=384, E=8, routing=RoutingRule(2), source="made up"), 2, 300, 128)]


class MatmulShapes(Observer):
    """Counts the (K, M, N) of every matmul."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, int, int]] = Counter()

    def on_instruction(self, event: Event) -> list[Finding]:
        if event.opcode == "nc_matmul":
            stationary, moving = event.reads[:2]
            k, m = stationary.shape[0], stationary.size // stationary.shape[0]
            self.counts[k, m, moving.size // k] += 1
        return []

    def multiply(self) -> None:
        """The same products in bare NumPy, on made-up fp32 matrices: what no simulator of them can save."""
        for (k, m, n), count in self.counts.items():
            left, right = np.ones((k, m), np.float32), np.ones((k, n), np.float32)
            for _ in range(count):
                np.matmul(left.T, right)


def simulate(
    case: LayerCase, tensors: dict[str, Any], cores: int, observers: tuple[Observer, ...] = (), numerics: bool = True
) -> Run:
    """The kernel on nkisim, with the detectors that are on by default and without the time model."""
    spec = MoECTESpec(MoECTEImplementation.shard_on_block)
    skip = SkipMode(skip_token=True)
    return Simulator(TARGET, cores, observers=observers, numerics=numerics, timing=False).run(
        moe_cte, **tensors, spec=spec, skip_dma=skip, is_tensor_update_accumulating=True
    )


def measure(case: LayerCase, repeats: int, say: Say) -> dict[str, Any]:
    """Time simulation and reference in turn, and compare their results."""
    say(f"layer {case.name}, tensor parallel {case.tp}, {case.tokens} tokens, blocks of {case.block_size}")
    data = case.draw()
    actions = {
        "nkisim": lambda: simulate(case, data.tensors, case.cores),
        "reference": lambda: moe_cte_reference(**data.tensors, skip_token=True),
    }
    times, results = interleaved(actions, repeats, say)
    run: Run = results["nkisim"]
    error = distance(run.outputs, results["reference"])
    allowed = tolerance("bfloat16", "bfloat16", case.model.K)
    useful = layer_work(case.tokens, case.tokens * case.model.K, data.H, data.I, case.model.E).flops
    issued = 2 * run.profile.macs
    simulated, reference = times["nkisim"], times["reference"]
    return {
        "model": case.name, "tp": case.tp, "tokens": case.tokens, "block_size": case.block_size, "cores": case.cores,
        "H": data.H, "I": data.I, "E": case.model.E, "K": case.model.K,
        "blocks": len(data.tensors["block_to_expert"]),
        "instructions": sum(run.profile.instructions.values()),
        "gflop": {"issued": issued / 1e9, "useful": useful / 1e9},
        "nkisim": simulated.as_json(),
        "reference": reference.as_json(),
        "ratio": simulated.median / reference.median,
        "ratio_of_processor_time": simulated.median_processor / reference.median_processor,
        "seconds_per_gflop": {
            "nkisim_issued": simulated.median / issued * 1e9,
            "reference_useful": reference.median / useful * 1e9,
        },
        "rel_l2": error.rel_l2,
        "correct": bool(error.within(allowed)),
    }  # fmt: skip
