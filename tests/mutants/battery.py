"""A short battery of checks that together touch every stage. Prints what noticed the first problem, or null.

    python tests/mutants/battery.py [NUMBER ...]     the checks to begin with; all others follow
    python tests/mutants/battery.py --reach          what each check costs and which lines it runs, as JSON

Run as a program with a mutated `nkimoe` first on the path.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import coverage
from support.case import Case
from support.checkpoints import check_checkpoints
from support.gradients import check_backward
from support.grouped_gemms import check_grouped_gemms
from support.inputs import build_inputs
from support.int8_experts import check_int8_experts
from support.int8_stages import (
    check_certificate,
    check_exact_layers,
    check_exact_sums,
    check_quotients,
    check_token_codes,
)
from support.launch import assert_matches_reference, run
from support.on_device import check_routing
from support.pairs import check_pairs
from support.quantised_rows import check_quantised_rows

from nkimoe import ActFnType, BlockShardStrategy, ExpertAffinityScaleMode
from nkimoe.kernels.stages import load_routing, loop_routing
from nkimoe.planning import plan
from nkimoe.routing.on_device import block_pieces, slot_tables, token_groups
from nkisim import SimulationError

Mode = ExpertAffinityScaleMode
plan.LONG_LOOPS = (8, 4), (3, 2)  # and loops that are not long, several blocks an iteration
load_routing.ROUTING_COLUMNS = loop_routing.ROUTING_COLUMNS = 4  # small cases need several windows of tables, too
token_groups.GROUP_COLUMNS = 10  # two groups of a core or more, whose rows are not all side by side
block_pieces.READ_BYTES = 1024
slot_tables.LONGEST_PIECE = 32  # a block of 48 slots is two pieces
SHORT = 5
PACKAGE = Path(plan.__file__).parents[1]
CASES = (
    Case(T=150, gate_upper=0.4, up_lower=-0.3, up_upper=0.5),
    Case(T=150, skip_token=False, routing="empty_experts", B=256, scaling=Mode.NO_SCALE),
    Case(T=130, cores=1, strategy=BlockShardStrategy.HI_LO, scaling=Mode.PRE_SCALE, activation=ActFnType.GELU),
    Case(T=400, skip_weight=True, E=3, I=208, scaling=Mode.PRE_SCALE_DELAYED, B=256, padding_blocks=1),
    Case(T=500, skip_weight=True, E=3, strategy=BlockShardStrategy.HI_LO),
    Case(T=300, K=1, accumulating=False, routing="some_tokens_nowhere", activation=ActFnType.SquaredReLU, H=384),
    Case(T=150, per_core_output=True, activation=ActFnType.Swish, strategy=BlockShardStrategy.HI_LO, padding_blocks=0),
    Case(T=300, E=1, K=1, padding_blocks=0),
    Case(T=300, E=1, K=1, padding_blocks=0, strategy=BlockShardStrategy.HI_LO),
    Case(T=90, H=2048, I=1456, E=2, K=2, padding_blocks=1, cores=1),
    Case(T=60, gate_lower=0.0, up_upper=0.0, biases="none"),
    Case(T=60, gate_upper=0.0, biases="gate_up", I=320, dtype="float16", routing="some_tokens_nowhere"),
    Case(T=1100, H=128, I=128, E=2, K=2, B=1024, biases="none"),
    Case(T=200, H=8192, I=512, E=2, K=1, B=256, biases="down"),
    Case(T=300, H=1024, I=640, E=2, K=2, B=256, strategy=BlockShardStrategy.HI_LO, padding_blocks=0),
    Case(variant="shard_on_i", T=150, H=384, I=337, gate_lower=-0.3, up_upper=0.4, up_offset=1.0),
    Case(variant="shard_on_i", T=300, H=4096, I=3200, E=2, K=1, B=256, skip_token=False),
    Case(variant="shard_on_i", T=600, H=1280, I=208, B=512, E=2, K=1, checkpoints=True, scaling=Mode.PRE_SCALE),
    Case(variant="shard_on_i", T=200, H=2304, weights="fp8-row", fp8_inputs="both", I=600, B=256),
    Case(variant="shard_on_i", T=300, E=2, multiply_on_i=True, B=256, checkpoints=True),
    Case(T=700, H=2048, I=2064, E=1, K=1, B=640, padding_blocks=0, cores=1),
    Case(T=150, weights="fp8-static", multiply_on_i=True, skip_gate=True, up_lower=-0.2, fp8_inputs="gate_up"),
    Case(T=150, weights="fp8-static", checkpoints=True, gate_upper=0.3, I=320, fp8_inputs="down", biases="down"),
    Case(variant="shard_on_i_hybrid", T=500, E=3, B=128, checkpoints=True, padding_blocks=2),
    Case(variant="shard_on_i_hybrid", T=700, E=2, K=1, B=640, static_blocks=0, weights="fp8-row", padding_blocks=1),
    Case(variant="shard_on_i_hybrid", T=500, E=2, static_blocks=2, routing="one_expert", K=1, padding_blocks=0),
    Case(variant="shard_on_i_hybrid", T=700, E=3, K=1, static_blocks=2, H=128, shuffled=True),
    Case(variant="shard_on_i_hybrid", T=700, E=3, K=1, static_blocks=2, H=128),
    Case(T=500, conditions=1, static_blocks=1, checkpoints=True, padding_blocks=2, strategy=BlockShardStrategy.HI_LO),
    Case(T=2100, E=3, K=1, conditions=0, static_blocks=2, padding_blocks=1, strategy=BlockShardStrategy.HI_LO),
    Case(T=120, E=1, K=1, conditions=1, static_blocks=0, padding_blocks=3, weights="fp8-row"),
    Case(T=400, E=3, K=1, conditions=1, static_blocks=0, padding_blocks=0),
    Case(variant="shard_on_i_hybrid", T=900, E=6, K=1, static_blocks=0, H=128, I=48, checkpoints=True),
    Case(variant="shard_on_i_hybrid", T=1500, E=2, K=1, static_blocks=2, H=128, shuffled=True),
    Case(
        variant="shard_on_i",
        T=300,
        H=1024,
        I=400,
        B=256,
        weights="fp8-block",
        hidden_scales="tokens",
        scaling=Mode.PRE_SCALE_DELAYED,
    ),
    Case(T=300, H=1024, I=208, E=3, K=1, B=256, weights="fp8-block256", hidden_scales="tokens", skip_gate=True),
    Case(variant="shard_on_i", T=60, bias_degree=4, bias_rank=1),
    Case(variant="shard_on_i_dropping", T=700, B=700, H=256, I=80),
)
INT8 = (
    Case(weights="int8", T=150, H=384, I=208, gate_upper=0.4, up_lower=-0.3),
    Case(weights="int8", T=300, H=128, I=1100, E=2, K=1, B=256, biases="none", variant="shard_on_i"),
    Case(weights="int8", int8_inputs=True, T=300, E=3, B=256, scaling=Mode.PRE_SCALE_DELAYED, checkpoints=True),
    Case(weights="int8", int8_inputs=True, T=500, H=640, I=1100, E=3, B=256, skip_weight=True),  # three pieces
    Case(weights="int8", int8_inputs=True, T=600, H=1024, I=2900, E=2, B=640, cores=1),  # streamed, five tiles
    Case(weights="int8", int8_inputs=True, variant="shard_on_i", H=384, I=101, B=100),
    Case(weights="int8", int8_inputs=True, T=700, H=128, I=80, E=1, K=1, B=640, padding_blocks=0),
    Case(
        weights="int8", int8_inputs=True, T=1500, H=128, I=80, E=3, K=1, conditions=1, static_blocks=1, checkpoints=True
    ),
)
PAIRS = (
    Case(T=150, K=3, conditions=1, static_blocks=0, routing="some_tokens_nowhere"),
    Case(T=600, K=3, E=6, conditions=1, static_blocks=1, strategy=BlockShardStrategy.HI_LO),
    Case(T=600, K=1, E=3, conditions=1, static_blocks=1),
    Case(T=150, H=384, variant="shard_on_i", routing="some_tokens_nowhere"),
    Case(T=150, B=72, K=3, scaling=Mode.PRE_SCALE),
    Case(T=60, H=1280, I=48, E=3, B=64, weights="fp8-row", biases="none"),  # rows on three engines
)
IN_TWO_SETS = Case(variant="shard_on_block_mx", target="trn3", weights="mxfp4", H=512, I=96, E=3)
MX = (
    replace(IN_TWO_SETS, T=300, B=64, conditions=None),  # rows and weights
    replace(IN_TWO_SETS, T=600, K=1, static_blocks=0),  # rows, two blocks an iteration
)
BACKWARD = (
    Case(T=150, H=256, I=96, gate_upper=0.4, gate_lower=-0.6, up_upper=0.5, up_lower=-0.2, up_offset=1.0),
    Case(T=300, H=128, I=48, E=3, B=640, padding_blocks=1, skip_token=False, activation=ActFnType.ReLU),
    Case(T=300, H=128, I=600, E=5, routing="empty_experts", activation=ActFnType.GELU_Tanh_Approx),
    Case(T=600, H=128, I=48, E=3, K=1, routing="one_expert", biases="none"),
    Case(T=100, H=128, I=48, E=6, K=1, B=32, cores=1, skip_gate=True),
    Case(T=60, H=128, I=48, E=1, K=1, padding_blocks=0, biases="gate_up"),
)


def checks() -> tuple[partial[None], ...]:
    """All checks; a check's number is its place here."""
    return (
        *map(
            partial,
            (
                check_routing,
                check_grouped_gemms,
                check_quantised_rows,
                check_certificate,
                check_exact_sums,
                check_quotients,
                check_token_codes,
                check_exact_layers,
                check_int8_experts,
            ),
        ),
        *(partial(check_forward, case) for case in (*CASES, *INT8, *MX)),
        *(partial(check_pairs, case) for case in PAIRS),
        *(partial(check_backward, case) for case in BACKWARD),
    )


def first_problem(first: Sequence[int]) -> str | None:
    """A detector's code, "comparison", or the class of another error; None if all checks pass."""
    numbered = dict(enumerate(checks()))
    for number in dict.fromkeys((*first, *numbered)):
        try:
            numbered[number]()
        except SimulationError as error:
            return error.code
        except AssertionError:
            return "comparison"
        except Exception as error:
            return type(error).__name__
    return None


def reach() -> dict[str, object]:
    """Seconds of each check, and the numbers of the checks that run each line of each file of nkimoe."""
    tracer = coverage.Coverage(data_file=None, source=[str(PACKAGE)])
    seconds = []
    for number, check in enumerate(checks()):
        begin = time.perf_counter()
        with tracer.collect():
            tracer.switch_context(str(number))
            check()
        seconds.append(time.perf_counter() - begin)
    data = tracer.get_data()
    lines = {
        Path(file).relative_to(PACKAGE).as_posix(): {
            line: sorted(int(number) for number in numbers if number)
            for line, numbers in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    return {"seconds": seconds, "lines": lines}


def check_forward(case: Case) -> None:
    inputs = build_inputs(case)
    if "conditions" in inputs and not case.checkpoints:
        inputs["conditions"][SHORT:] = 0  # blocks that held tokens hold none, and do not run
        slots = inputs["token_position_to_id"].reshape(-1, case.B)
        slots[SHORT:] = -1 if case.skip_token else case.T
    outcome = run(case, inputs)
    assert_matches_reference(outcome)
    if outcome.checkpoints:
        check_checkpoints(outcome)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # checks may say what they find; the answer is one line
        answer = reach() if sys.argv[1:] == ["--reach"] else first_problem([int(word) for word in sys.argv[1:]])
    json.dump(answer, sys.stdout)
