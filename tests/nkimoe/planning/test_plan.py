"""A plan covers every block once, says what it decided, and decides by size."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkimoe import (
    BlockShardStrategy,
    MoECTEImplementation,
    MoECTESpec,
    RequestError,
    ShardOnBlockConfig,
    SkipMode,
)
from nkimoe.planning.output_forms import ACCUMULATED, OVERWRITTEN, SHARED, SLABS, SLABS_RETURNED
from nkimoe.planning.plan import RESIDENT, STREAMED, Plan, make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import TARGETS, by_generation

HI_LO, PING_PONG = BlockShardStrategy.HI_LO, BlockShardStrategy.PING_PONG


class Sized:
    """A tensor of which only shape and type are asked."""

    def __init__(self, shape: tuple[int, ...], dtype: Any = ml_dtypes.bfloat16) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)


def plan(
    H: int = 256, I: int = 192, B: int = 128, N: int = 5, cores: int = 2, target: str = "trn2", **options: Any
) -> Plan:
    T, E = 200, 4
    skip_weight, config = options.pop("skip_weight", False), ShardOnBlockConfig(**options.pop("config", {}))
    request = Request(
        hidden_states=Sized((T, H)), expert_affinities_masked=Sized((T * E, 1)),
        gate_up_proj_weight=Sized((E, H, 2, I)), down_proj_weight=Sized((E, I, H)),
        token_position_to_id=Sized((N * B,), np.int32), block_to_expert=Sized((N,), np.int32), block_size=B,
        spec=MoECTESpec(MoECTEImplementation.shard_on_block, shard_on_block=config),
        compute_dtype=options.pop("compute_dtype", "bfloat16"), skip_dma=SkipMode(True, skip_weight), **options,
    )  # fmt: skip
    return make_plan(request, cores, TARGETS[target])


@given(N=st.integers(1, 70), cores=st.sampled_from([1, 2]), strategy=st.sampled_from(list(BlockShardStrategy)))
def test_the_cores_partition_the_blocks(N: int, cores: int, strategy: BlockShardStrategy) -> None:
    p = plan(N=N, cores=cores, config={"block_sharding_strategy": strategy})
    shares = [[r.block(j) for j in range(r.count)] for r in map(p.blocks_of, range(cores))]
    assert sorted(b for share in shares for b in share) == list(range(N))
    assert all(share == sorted(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_turns_and_halves() -> None:
    turns, halves = (plan(N=5, config={"block_sharding_strategy": s}) for s in (PING_PONG, HI_LO))
    assert [[r.block(j) for j in range(r.count)] for r in map(turns.blocks_of, (0, 1))] == [[0, 2, 4], [1, 3]]
    assert [[r.block(j) for j in range(r.count)] for r in map(halves.blocks_of, (0, 1))] == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("H", "I", "skip_weight", "weights"),
    [
        (256, 192, False, RESIDENT),
        (2048, 1408, False, RESIDENT),
        (2048, 2064, False, STREAMED),
        (8192, 4096, False, STREAMED),
        (256, 192, True, RESIDENT),
        (2048, 1408, True, RESIDENT),
    ],
)
def test_weights_are_kept_as_near_as_they_fit(H: int, I: int, skip_weight: bool, weights: str) -> None:
    p = plan(H=H, I=I, skip_weight=skip_weight)
    assert p.weights == weights
    assert p.tiling.weights_fit is (weights != STREAMED)
    assert p.tiling.sbuf_bytes <= p.target.sbuf_bytes


def test_weights_that_do_not_fit_cannot_be_kept() -> None:
    with pytest.raises(RequestError, match="I=2064, H=2048") as caught:
        plan(H=2048, I=2064, skip_weight=True)
    assert caught.value.argument == "skip_dma.skip_weight"


def test_a_problem_that_cannot_be_cut_to_fit_is_refused() -> None:
    with pytest.raises(RequestError, match="H=8192, I=131072") as caught:
        plan(H=8192, I=131072)
    assert caught.value.argument == "down_proj_weight"


@pytest.mark.parametrize(
    ("cores", "config", "accumulating", "output"),
    [
        (2, {}, True, SLABS),
        (1, {}, True, ACCUMULATED),
        (2, {"non_overlapping_shards": True}, True, SHARED),
        (1, {"non_overlapping_shards": True}, True, ACCUMULATED),
        (2, {"per_core_output": True}, True, SLABS_RETURNED),
        (1, {"per_core_output": True}, True, SLABS_RETURNED),
        (2, {}, False, OVERWRITTEN),
        (1, {"non_overlapping_shards": True}, False, OVERWRITTEN),
    ],
)
def test_the_output_is_updated_as_cheaply_as_allowed(
    cores: int, config: dict[str, bool], accumulating: bool, output: str
) -> None:
    assert plan(cores=cores, config=config, is_tensor_update_accumulating=accumulating).output == output


def test_a_plan_explains_itself() -> None:
    text, tiling = plan().explain(), plan().tiling
    for fact in (
        "shard_on_block on trn2, 2 core",
        "T=200 H=256 I=192 E=4 B=128 N=5",
        "128 tokens at a time",
        "1 x 192 of 192 gate/up columns by 256 rows, 1 x 256 of 256 down columns",
        f"{tiling.sbuf_bytes} of 212984 bytes",
        RESIDENT,
        "PING_PONG (core 0: 3, core 1: 2)",
        SLABS.name,
    ):
        assert fact in text
    assert [line.split()[0] for line in text.splitlines() if line[0] != " "] == ["request", "problem", "tiling", "plan"]


def test_a_larger_machine_keeps_more_on_chip() -> None:
    assert plan(H=2048, I=2064, target="trn2").weights == STREAMED
    assert plan(H=2048, I=2064, target="trn3").weights == RESIDENT


def test_targets_are_found_by_generation() -> None:
    assert [by_generation(g).name for g in (3, 4)] == ["trn2", "trn3"]
    with pytest.raises(ValueError, match="generation 2"):
        by_generation(2)
