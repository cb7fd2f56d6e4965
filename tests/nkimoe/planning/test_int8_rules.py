"""Every rule on int8 has a good and a bad example; an error names the argument, and nothing has run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import run

from nkimoe import QuantizationConfig, RequestError
from nkisim.observe import Recorder

BOTH = Case(T=40, H=128, I=32, E=2, K=1, weights="int8", int8_inputs=True)
ALONE = replace(BOTH, int8_inputs=False)
GATE_UP, DOWN = "gate_up_proj_weight", "down_proj_weight"
GATE_UP_SCALE, DOWN_SCALE = "gate_up_proj_scale", "down_proj_scale"
PLAIN = build_inputs(replace(ALONE, weights="plain"))
ONES = np.ones((2, 1), np.float32)


def claim(rows: Any) -> dict[str, Any]:
    """Scales come directly, so that the configuration says nothing else."""
    return {"quantization_config": QuantizationConfig(exact_rows=rows)}


BAD: list[tuple[str, Case, dict[str, Any]]] = [
    *[("activation_quantization", BOTH, {"activation_quantization": kind}) for kind in ("int8", "", True, 1)],
    (GATE_UP, BOTH, {GATE_UP: PLAIN[GATE_UP], GATE_UP_SCALE: None}),
    (DOWN, BOTH, {DOWN: PLAIN[DOWN], DOWN_SCALE: None}),
    (GATE_UP, BOTH, {GATE_UP: PLAIN[GATE_UP].astype(ml_dtypes.float8_e4m3)}),
    *[(name, case, {name: None}) for case in (ALONE, BOTH) for name in (GATE_UP_SCALE, DOWN_SCALE)],
    *[(name, BOTH, {name: np.ones((2, 1, 33), np.float32)}) for name in (GATE_UP_SCALE, DOWN_SCALE)],
    *[(name, BOTH, {name: np.ones((3, 1, 64), np.float32)}) for name in (GATE_UP_SCALE, DOWN_SCALE)],
    (GATE_UP_SCALE, ALONE, {GATE_UP_SCALE: np.ones((2, 1, 64), ml_dtypes.bfloat16)}),
    (DOWN_SCALE, ALONE, {DOWN_SCALE: np.ones((2, 1, 128), np.float16)}),
    *[("compute_dtype", case, {"compute_dtype": "float32"}) for case in (ALONE, BOTH)],
    *[(name, case, {name: ONES}) for case in (ALONE, BOTH) for name in ("gate_up_in_scale", "down_in_scale")],
    *[(name, ALONE, {name: build_inputs(ALONE)[name].view(np.uint8)}) for name in (GATE_UP, DOWN)],
    *[
        ("quantization_config.exact_rows", BOTH, claim(rows))
        for rows in (0, -1024, 1000, 1536, True, 1024.0, "1024", np.float32(1024))
    ],
    ("quantization_config.exact_rows", ALONE, claim(1024)),
    *[
        ("accumulation_dtype", replace(BOTH, variant=variant), {"accumulation_dtype": "bfloat16"})
        for variant in ("shard_on_i", "shard_on_i_hybrid")
    ],
    ("down_proj_weight", replace(BOTH, variant="shard_on_i", I=2050), {}),
]


def _name(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, Case)) else None


@pytest.mark.parametrize(("argument", "case", "changes"), BAD, ids=_name)
def test_a_bad_request_names_its_argument_and_computes_nothing(
    argument: str, case: Case, changes: dict[str, Any]
) -> None:
    recorder, inputs = Recorder(), {**build_inputs(case), **changes}
    options = {name: inputs.pop(name) for name in changes if name in case.options()}
    with pytest.raises(RequestError) as caught:
        run(case, {name: value for name, value in inputs.items() if value is not None}, [recorder], **options)
    assert caught.value.argument == argument
    assert recorder.events == []


GOOD: list[tuple[Case, dict[str, Any]]] = [
    (BOTH, {}),
    (BOTH, claim(None)),
    (BOTH, claim(1024)),
    (BOTH, claim(7 * 1024)),
    (ALONE, claim(None)),
    (ALONE, {"activation_quantization": None}),
    (ALONE, {GATE_UP: PLAIN[GATE_UP], GATE_UP_SCALE: None}),
    (ALONE, {DOWN: PLAIN[DOWN], DOWN_SCALE: None}),
    *[(case, {GATE_UP_SCALE: np.ones(shape, np.float32)}) for case in (ALONE, BOTH) for shape in ((2, 64), (1, 1, 64))],
    *[(case, {GATE_UP_SCALE: np.ones(shape, np.float32)}) for case in (ALONE, BOTH) for shape in ((2, 2, 1), (2, 2))],
    *[(case, {DOWN_SCALE: np.ones(shape, np.float32)}) for case in (ALONE, BOTH) for shape in ((2, 128), (1, 1, 128))],
    *[(case, {DOWN_SCALE: np.ones(shape, np.float32)}) for case in (ALONE, BOTH) for shape in ((2, 1), (2,))],
]


@pytest.mark.parametrize(("case", "changes"), GOOD, ids=_name)
def test_a_good_request_runs(case: Case, changes: dict[str, Any]) -> None:
    inputs = {name: value for name, value in {**build_inputs(case), **changes}.items() if value is not None}
    run(case, inputs)
