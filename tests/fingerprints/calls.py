"""The calls: the demo, every variant on one core and two, the backward pass, and random requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from support.case import Case
from support.gradients import backward_arguments
from support.inputs import build_inputs

import nkimoe
import nkisim
from nkimoe import ActFnType, BlockShardStrategy, ExpertAffinityScaleMode, MoECTEImplementation, MoECTESpec
from nkimoe.cli.experiment import TOKENS, Progress, Setup, arguments_of, run_experiment
from nkimoe.cli.layer_data import read_text
from nkisim.observe import Observer

Call = Callable[[Observer], nkisim.Run]
"""Simulates with one more observer."""

RANDOM_REQUESTS = 20


def calls() -> Iterator[tuple[str, Call]]:
    """Every call with its name."""
    yield "demo", _demo
    for implementation in MoECTEImplementation:
        for cores in (1, 2):
            yield f"{implementation.name} on {cores}", _forward(_variant(implementation.name, cores))
    for cores in (1, 2):
        case = Case(T=200, H=256, I=192, cores=cores)
        yield f"backward on {cores}", _backward(case)
    rng = np.random.default_rng(20261129)
    for n in range(RANDOM_REQUESTS):
        case = _random(rng)
        yield f"request {n}: {case}", _forward(case)


def _demo(observer: Observer) -> nkisim.Run:
    """As callers of nki-library make it, whatever the command line chooses by itself."""
    text = read_text(None)
    setup = Setup("qwen3-30b-a3b", 4, 640, "shard_on_block", "trn2", 2, 128, "bf16", text, slots=TOKENS)
    result = run_experiment(setup, Progress(lambda name, total: None, lambda: None))
    arguments = {**arguments_of(setup, result.data), "spec": MoECTESpec(MoECTEImplementation.shard_on_block)}
    run = nkisim.Simulator("trn2", 2, observers=[observer]).run(nkimoe.moe_cte, **arguments)
    assert result.passed
    return run


def _forward(case: Case) -> Call:
    def call(observer: Observer) -> nkisim.Run:
        simulator = nkisim.Simulator(case.target, lnc=case.cores, observers=[observer])
        return simulator.run(nkimoe.moe_cte, **build_inputs(case), **case.options())

    return call


def _backward(case: Case) -> Call:
    def call(observer: Observer) -> nkisim.Run:
        simulator = nkisim.Simulator(case.target, lnc=case.cores, observers=[observer])
        return simulator.run(nkimoe.moe_cte_backward, **backward_arguments(case))

    return call


def _variant(name: str, cores: int) -> Case:
    case = Case(variant=name, T=400, H=512, I=384, B=256, cores=cores)
    if name.find("_mx") > 0:
        return replace(case, H=1024, I=768, target="trn3", weights="mxfp4")
    return case


def _random(rng: np.random.Generator) -> Case:
    """Any options beside each other: what a variant cannot honour is refused, and the refusal is the fingerprint."""

    def one(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    variant = one(*MoECTEImplementation).name
    is_mx = variant.find("_mx") > 0
    E = one(3, 4, 6)
    case = Case(
        variant=variant, T=one(1, 129, 300), E=E, K=one(1, 2, 3), B=one(128, 200, 256, 384), cores=one(1, 2),
        H=one(512, 1024) if is_mx else one(128, 384, 640), I=one(384, 640) if is_mx else one(48, 144, 320),
        routing=one("random", "one_expert", "empty_experts", "some_tokens_nowhere"), skip_token=one(True, False),
        target="trn3" if is_mx else one("trn2", "trn3"), biases=one("both", "gate_up", "down", "none"),
        activation=one(*ActFnType), gate_upper=one(None, 0.7), up_lower=one(None, -0.7),
        scaling=one(*ExpertAffinityScaleMode), strategy=one(*BlockShardStrategy), multiply_on_i=one(False, False, True),
        up_offset=one(0.0, 1.0), skip_gate=one(False, False, True), checkpoints=one(False, False, not is_mx),
        weights=one("mxfp4", "mxfp8") if is_mx else one("plain", "plain", "fp8-row", "fp8-static"),
        static_blocks=one(None, 1), padding_blocks=one(0, 2), seed=int(rng.integers(1000)),
    )  # fmt: skip
    if variant == "shard_on_i_dropping":
        case = replace(case, padding_blocks=None)
    return case if "hybrid" in variant or "block" in variant else replace(case, static_blocks=None)
