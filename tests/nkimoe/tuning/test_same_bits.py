"""A row of a tuned table changes time, never bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gemm_cases import BF16, drawn, int4_drawn, int8_drawn, normal, routed
from support.sums import assert_same_sums
from support.tuned_rows import tuned_row

from nkimoe.ops import fused_moe, fused_moe_gemm
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.tuning import LayerKey, TunedTable
from nkimoe.tuning.search import space_of
from nkimoe.tuning.stages import Stages

M, H, I, E, K = 200, 150, 300, 3, 2
TYPES = {"unquant": ("bfloat16", "bfloat16", "no"), "int8_w8a8": ("int8", "int8", "per_token")}


def layer(quantization="unquant", act_type="silu", columns=I, hidden=H):
    return LayerKey(256, hidden, columns, E, K, act_type, "bfloat16", *TYPES[quantization], True, False)


def layer_arguments(quantization):
    rng = np.random.default_rng(3)
    ids, weights = routed(rng, M, K, E)
    ids[5, 1] = -1
    arguments = {"hidden_states": normal(rng, (M, H), BF16), "topk_weights": weights, "topk_ids": ids}
    for name, rows, columns in (("w1", 2 * I, H), ("w2", H, I)):
        if quantization == "unquant":
            arguments[name] = normal(rng, (E, rows, columns), BF16, columns**-0.5)
            continue
        arguments[name] = rng.integers(-128, 128, (E, rows, columns)).astype(np.int8)
        arguments[f"{name}_scale"] = rng.uniform(0.5, 1.5, (E, rows)).astype(np.float32) / (74 * columns**0.5)
    return {**arguments, "quantization": quantization}


ARGUMENTS = {name: layer_arguments(name) for name in TYPES}
DEFAULT = {name: fused_moe[2](**arguments) for name, arguments in ARGUMENTS.items()}


def tuned(key, choices, lnc=2):
    rows = TunedTable([tuned_row(key, choices=choices)]).on("trn2", 2)
    assert rows.row(key) is not None
    return rows


choices = st.builds(
    GemmChoice,
    st.sampled_from([32, 64, 96, 128, 160, 192, 256, 512]),
    st.integers(8, 512),
    st.integers(1, 5),
    st.sampled_from(Split),
)


@pytest.mark.parametrize("quantization", TYPES)
@given(first=choices, width=st.integers(8, 512), at_once=st.integers(1, 5), split=st.sampled_from(Split))
@settings(max_examples=15, deadline=None)
def test_no_row_changes_a_bit_of_fused_moe(quantization, first, width, at_once, split):
    rows = tuned(layer(quantization), (first, GemmChoice(first.block_size, width, at_once, split)))
    found = fused_moe[2](**ARGUMENTS[quantization], tuned=rows)
    assert_same_sums(found, DEFAULT[quantization])


@pytest.mark.parametrize("quantization", TYPES)
def test_no_choice_that_the_tuner_tries_changes_a_bit(quantization):
    first, second = space_of(Stages(layer(quantization), "trn2", 2))
    assert {choice.split for choice in first} == {Split.BLOCKS, Split.COLUMNS}  # one pass is of whole blocks
    assert len({choice.width for choice in first}) == 3
    for n in range(max(len(first), len(second))):
        one = first[n % len(first)]
        other = next(each for each in second[n % len(second) :] + second if each.block_size == one.block_size)
        found = fused_moe[2](**ARGUMENTS[quantization], tuned=tuned(layer(quantization), (one, other)))
        assert_same_sums(found, DEFAULT[quantization])


GEMMS = {
    "swiglu": (drawn(M, 2 * I, H, K, E) | {"epilogue": "swiglu", "limit": 1.0}, ("bfloat16", "bfloat16", "no")),
    "silu": (int4_drawn(M, 2 * I, 160, K, E, 32, True) | {"epilogue": "silu"}, ("bfloat16", "int4", "per_1x32")),
    "gelu": (int8_drawn(M, 2 * I, 1100, K, E, "int8_w8a16") | {"epilogue": "gelu_mul"},
             ("bfloat16", "int8", "per_token")),
}  # fmt: skip


@pytest.mark.parametrize("act_type", GEMMS)
@given(choice=choices, cores=st.sampled_from([1, 2]))
@settings(max_examples=8, deadline=None)
def test_no_row_changes_a_bit_of_one_projection(act_type, choice, cores):
    arguments, types = GEMMS[act_type]
    key = LayerKey(256, arguments["a"].shape[1], I, E, K, act_type, "bfloat16", *types, True, False)
    found = fused_moe_gemm[cores](**arguments, tuned=tuned(key, (choice, choice)))
    expected = fused_moe_gemm[2](**arguments)
    assert_same_sums(found, expected)
