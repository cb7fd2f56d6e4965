"""Clients of nkilib's names: what they import is there, and their calls give what they index."""

import inspect
import subprocess
import sys
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import reference

from nkimoe import ActFnType, ExpertAffinityScaleMode, RequestError, SkipMode
from nkimoe.as_nkilib import kernels
from nkimoe.as_nkilib.entry import moe_cte
from nkimoe.as_nkilib.modules import MODULES
from nkimoe.reference import moe_cte_reference
from nkimoe.routing import build_block_mapping, scatter_affinities
from nkimoe.spec import MoECTEImplementation, MoECTESpec

VLLM_NEURON = """
import nkimoe.as_nkilib
nkimoe.as_nkilib.install()
nkimoe.as_nkilib.install()
from nkilib.core.moe.moe_cte.moe_cte import (
    MoECTESpec, MoECTEImplementation, SkipMode, ShardOnBlockConfig, ShardOnIConfig, QuantizationConfig,
    ExpertAffinityScaleMode, ActFnType, BlockShardStrategy, moe_cte,
)
from nkilib.core.utils.common_types import QuantizationType
from nkilib.core.moe.moe_cte.bwmm_shard_on_block_mx import bwmm_shard_on_block_mx
from nkilib.core.moe.moe_cte.bwmm_shard_on_block import bwmm_shard_on_block
from nkilib.core.moe.moe_cte.bwmm_shard_on_I import blockwise_mm_baseline_shard_intermediate
from nkilib.core.moe.moe_cte.moe_cte_utils import BlockShardStrategy, SkipMode
import nkilib.core.moe.moe_cte
import nkimoe
assert MoECTESpec is nkimoe.MoECTESpec
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_imports_of_vllm_neuron_and_neuronx_distributed_work():
    done = run(VLLM_NEURON)
    assert done.returncode == 0, done.stderr


def test_a_real_nkilib_is_never_hidden():
    done = run("import sys, types; sys.modules['nkilib'] = types.ModuleType('nkilib'); " + VLLM_NEURON)
    assert "a real nkilib is installed" in done.stderr


def layer():
    T, H, I, E, K, B = 40, 128, 32, 4, 2, 128
    rng, bf16 = np.random.default_rng(0), ml_dtypes.bfloat16
    ids = np.array([rng.choice(E, K, replace=False) for _ in range(T)])
    mapping = build_block_mapping(ids, E, B)
    return {
        "hidden_states": rng.standard_normal((T, H)).astype(bf16),
        "expert_affinities_masked": scatter_affinities(rng.random((T, K)), ids, E, dtype=bf16),
        "gate_up_proj_weight": (rng.standard_normal((E, H, 2, I)) / 8).astype(bf16),
        "down_proj_weight": (rng.standard_normal((E, I, H)) / 8).astype(bf16),
        "token_position_to_id": mapping.token_position_to_id,
        "block_to_expert": mapping.block_to_expert,
        "block_size": B,
    }


def close(actual, expected):
    assert np.linalg.norm(actual.astype(np.float32) - expected) < 2e-2 * np.linalg.norm(expected)


def test_vllm_neuron_finds_the_sum_in_slab_0():
    import nki

    tensors, spec = layer(), MoECTESpec(MoECTEImplementation.shard_on_block)
    output = nki.jit(moe_cte)[2](**tensors, spec=spec, skip_dma=SkipMode(skip_token=True))
    assert output.shape == (40, 2, 128)
    close(output[:, 0, :128], moe_cte_reference(**tensors, skip_token=True))
    assert not output[:, 1].any()


def test_a_direct_kernel_takes_its_arguments_in_nkilibs_order():
    tensors = layer()
    order = ("hidden_states", "expert_affinities_masked", "gate_up_proj_weight", "down_proj_weight", "block_size",
             "token_position_to_id", "block_to_expert")  # fmt: skip
    shard_on_i = kernels.SHARDED_ON_I[0][2]
    output = shard_on_i(*(tensors[name] for name in order), skip_dma=SkipMode(True, False))
    pre = ExpertAffinityScaleMode.PRE_SCALE
    close(output, moe_cte_reference(**tensors, skip_token=True, expert_affinities_scaling_mode=pre))
    output = kernels.bwmm_shard_on_block[2](
        *(tensors[name] for name in order), activation_function=ActFnType.Swish, skip_dma=SkipMode(True, False)
    )
    close(output[:, 0], moe_cte_reference(**tensors, skip_token=True, activation_function=ActFnType.Swish))


def test_the_sharded_kernel_takes_blocks_and_scales_of_tokens_by_name():
    case = Case(variant="shard_on_i", T=40, H=256, weights="fp8-block256", hidden_scales="tokens", biases="none")
    tensors, shard_on_i = build_inputs(case), kernels.SHARDED_ON_I[0][2]
    options = {
        "block_size": case.B, "skip_dma": SkipMode(True, False),
        "expert_affinities_scaling_mode": ExpertAffinityScaleMode.POST_SCALE,
    }  # fmt: skip
    close(shard_on_i(**tensors, **options, is_block_quant=True), reference(case, tensors))
    with pytest.raises(RequestError, match="gate_up_proj_scale: has a scale a matrix with is_per_tensor"):
        shard_on_i(**tensors, **options, is_per_tensor=True)
    rows = build_inputs(replace(case, weights="fp8-row"))
    with pytest.raises(RequestError, match="gate_up_proj_scale: has scales of 256 x 256 weights with is_block_quant"):
        shard_on_i(**rows, **options, is_block_quant=True)


@pytest.mark.parametrize("module", [m for m, names in MODULES.items() if m.rsplit(".", 1)[-1].startswith("bwmm")])
def test_every_direct_kernel_has_the_four_limits_and_an_affinity_mode(module):
    for kernel in MODULES[module].values():
        parameters = inspect.signature(kernel).parameters
        assert sum("clamp" in name for name in parameters) == 4
        mode = parameters["expert_affinities_scaling_mode"].default
        expected = "POST_SCALE" if "hybrid" in kernel.__name__ or "on_block" in kernel.__name__ else "PRE_SCALE"
        assert mode.name == expected


def test_what_follows_the_spec_is_passed_by_name():
    spec = MoECTESpec(MoECTEImplementation.shard_on_block)
    data = layer()
    names = list(inspect.signature(moe_cte).parameters)
    options = {"skip_dma": SkipMode(True)}
    leading = [{**data, "spec": spec}[name] for name in names[: names.index("spec") + 1]]
    output = moe_cte[2](*leading, **options)
    np.testing.assert_array_equal(output, moe_cte[2](**data, spec=spec, **options))
    with pytest.raises(TypeError, match="too many positional arguments"):
        moe_cte[2](*leading, None, **options)
