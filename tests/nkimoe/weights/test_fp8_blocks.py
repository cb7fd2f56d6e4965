"""Scales of blocks: those of checkpoints are kept, other weights get their own, and both come to Trn2 as said."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from nkimoe.weights import (
    Expert,
    Fp8Block,
    Fp8BlockExpert,
    Fp8OutputBlock,
    Fp8Row,
    Shard,
    legacy_fp8,
    pack,
    packing_named,
    to_legacy_e4m3,
    unpack,
)
from nkimoe.weights.block_scales import in_blocks, out_of_blocks, spread_blocks

OCP, LEGACY = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3
H, I = 384, 200


def grid(rows, columns, *between, size=128):
    return (-(-rows // size), *between, -(-columns // size))


def published(rng, H=H, I=I, largest=448):
    """An expert of a checkpoint; some of its blocks have codes above 240."""
    codes = [rng.uniform(-1, 1, shape) for shape in ((H, 2, I), (I, H))]
    bounds = [rng.choice([100, largest], grid(shape[0], shape[-1], *shape[1:-1])) for shape in ((H, 2, I), (I, H))]
    values = [c * spread_blocks(b, c.shape, 128) for c, b in zip(codes, bounds, strict=True)]
    scales = [rng.uniform(0.001, 0.01, bound.shape).astype(np.float32) for bound in bounds]
    return Fp8BlockExpert(*(v.astype(OCP) for v in values), gate_up_scale=scales[0], down_scale=scales[1])


def test_a_matrix_survives_being_cut_into_blocks():
    values = np.random.default_rng(0).standard_normal((3, 130, 2, 300)).astype(np.float32)
    blocks = in_blocks(values, 128, axis=1)
    assert blocks.shape == (3, 2, 128, 2, 3, 128)
    np.testing.assert_array_equal(blocks[1, 1, 1, 0, 2, 40], values[1, 129, 0, 296])
    np.testing.assert_array_equal(out_of_blocks(blocks, values.shape, axis=1), values)


@pytest.mark.parametrize("dtype", [OCP, LEGACY, ml_dtypes.float8_e5m2])
@pytest.mark.parametrize("size", [128, 256])
def test_scales_are_the_largest_of_each_block(dtype, size):
    rng = np.random.default_rng(1)
    expert = Expert(*(rng.standard_normal(shape).astype(np.float32) for shape in ((H, 2, I), (I, H))))
    packed = Fp8Block(dtype, size).pack_expert(expert)
    copies = () if size == 128 else (128,)
    assert packed["gate_up_proj_scale"].shape == (*grid(H, 208, 2, size=size), *copies)
    assert packed["down_proj_scale"].shape == (*grid(208, H, size=size), *copies)
    last = packed["gate_up_proj_scale"][-1, 1, -1].ravel()
    columns, rows = (slice((n - 1) // size * size, None) for n in (I, H))
    np.testing.assert_array_equal(
        last, np.abs(expert.gate_up[rows, 1, columns]).max() / np.float32(ml_dtypes.finfo(dtype).max)
    )
    back = Fp8Block(dtype, size).unpack_expert(packed, H, I)
    step = 0.04 if dtype != ml_dtypes.float8_e5m2 else 0.08
    for got, wanted in ((back.gate_up, expert.gate_up), (back.down, expert.down)):
        assert got.shape == wanted.shape
        assert np.linalg.norm(got - wanted) < step * np.linalg.norm(wanted)


def test_blocks_of_a_checkpoint_are_kept_bit_for_bit():
    experts = [published(np.random.default_rng(seed)) for seed in (2, 3)]
    tensors = pack(experts, packing_named("fp8-block", "trn3"))
    assert tensors["gate_up_proj_weight"].dtype == OCP
    np.testing.assert_array_equal(tensors["gate_up_proj_weight"][1, :, :, :I], experts[1].gate_up)
    np.testing.assert_array_equal(tensors["gate_up_proj_scale"][1], experts[1].gate_up_scale)
    np.testing.assert_array_equal(tensors["down_proj_scale"][0], experts[0].down_scale)
    for got, expert in zip(unpack(tensors, Fp8Block(OCP), H, I), experts, strict=True):
        np.testing.assert_array_equal(got.down, expert.dequantize().down)
        np.testing.assert_array_equal(got.gate_up, expert.dequantize().gate_up)


def test_on_trn2_only_blocks_with_codes_above_240_are_halved():
    expert = published(np.random.default_rng(4))
    tensors = Fp8Block(LEGACY).pack_expert(expert)
    for name, codes, scale in (
        ("gate_up_proj", expert.gate_up, expert.gate_up_scale),
        ("down_proj", expert.down, expert.down_scale),
    ):
        amax = np.abs(in_blocks(codes, 128).astype(np.float32)).max(axis=(1, -1))
        assert (amax > 240).any()
        assert (amax <= 240).any()
        np.testing.assert_array_equal(tensors[f"{name}_scale"], np.where(amax > 240, 2 * scale, scale))
        real = codes.astype(np.float32) * spread_blocks(scale, codes.shape, 128)
        weight = tensors[f"{name}_weight"].astype(np.float32)[: codes.shape[0], ..., : codes.shape[-1]]
        now = weight * spread_blocks(tensors[f"{name}_scale"], codes.shape, 128)
        is_exact = np.abs(codes.astype(np.float32)) >= 2**-5
        np.testing.assert_array_equal(now[is_exact], real[is_exact])


@pytest.mark.parametrize("size", [128, 256])
def test_packed_layers_become_legacy_and_say_what_was_lost(size):
    experts = [published(np.random.default_rng(seed)).dequantize() for seed in (5, 6)]
    tensors = pack(experts, Fp8Block(OCP, size))
    legacy, lost = legacy_fp8(tensors)
    assert {t.shape for t in legacy.values()} == {t.shape for t in tensors.values()}
    assert legacy["down_proj_weight"].dtype == LEGACY
    report = lost["gate_up_proj_weight"]
    assert report.values == tensors["gate_up_proj_weight"].size
    assert report.halved == report.groups == 2 * np.prod(grid(H, 208, 2, size=size))
    packing = Fp8Block(LEGACY, size)
    before, after = (unpack(t, p, H, I)[1].gate_up for t, p in ((tensors, Fp8Block(OCP, size)), (legacy, packing)))
    is_changed = before != after
    assert np.abs(before - after).max() <= report.largest_error * (1 + 1e-6), "differences of products of fp32"
    assert 0 < np.count_nonzero(is_changed) <= report.rounded


def test_one_block_becomes_legacy_as_one_group():
    codes = np.array([[400.0, 2**-9, 3.0]]).astype(OCP)
    scale = np.ones((1, 1), np.float32)
    tensors = {f"{n}_weight": codes[None] for n in ("gate_up_proj", "down_proj")}
    legacy, _ = legacy_fp8(tensors | {f"{n}_scale": scale[None] for n in ("gate_up_proj", "down_proj")})
    expected, doubled, _ = to_legacy_e4m3(codes, scale)
    np.testing.assert_array_equal(legacy["down_proj_weight"][0], expected)
    np.testing.assert_array_equal(legacy["down_proj_scale"][0], doubled)


def test_a_ranks_share_keeps_its_blocks_where_columns_meet_between_them():
    expert = published(np.random.default_rng(7), I=512)
    part = expert.shard(Shard(2, 1))
    assert isinstance(part, Fp8BlockExpert)
    np.testing.assert_array_equal(part.dequantize().gate_up, expert.dequantize().gate_up[:, :, 256:])
    np.testing.assert_array_equal(part.dequantize().down, expert.dequantize().down[256:])
    inside = expert.shard(Shard(8, 3))
    assert not isinstance(inside, Fp8BlockExpert)
    np.testing.assert_array_equal(inside.down, expert.dequantize().down[192:256])


def test_other_packings_take_what_the_blocks_mean():
    expert = published(np.random.default_rng(8))
    expert = replace(expert, gate_up_bias=np.ones((2, I), np.float32))
    for packing in (Fp8Row(), Fp8Block(ml_dtypes.float8_e5m2), Fp8Block(LEGACY, 256)):
        kept, real = packing.pack_expert(expert), packing.pack_expert(expert.dequantize())
        assert kept.keys() == real.keys()
        for name, tensor in kept.items():
            np.testing.assert_array_equal(tensor, real[name])


@pytest.mark.parametrize("dtype", [OCP, LEGACY])
def test_blocks_above_one_another_come_to_one_scale(dtype):
    expert = published(np.random.default_rng(9))
    tensors, reports = Fp8OutputBlock(dtype).requantise(expert)
    assert tensors["gate_up_proj_scale"].shape == (1, 2 * 208)
    scales = tensors["gate_up_proj_scale"].reshape(2, -1)
    assert all(len(np.unique(scales[:, block][0])) == 1 for block in (slice(0, 128), slice(128, None)))
    kept = Fp8OutputBlock(dtype).unpack_expert(tensors, H, I)
    for got, before, report in (
        (kept.gate_up, expert.dequantize().gate_up, reports["gate_up_proj_weight"]),
        (kept.down, expert.dequantize().down, reports["down_proj_weight"]),
    ):
        error = np.linalg.norm(got - before) / np.linalg.norm(before)
        assert report.nrmse == pytest.approx(error, rel=1e-4)
        assert 0 < report.nrmse < 0.05
        assert 1 - report.nrmse**2 < report.cosine < 1
        assert 0 < report.shifted <= report.blocks
        assert report.clipped == 0


def test_one_block_keeps_its_codes_and_equal_scales_change_nothing():
    expert = published(np.random.default_rng(10), largest=200)
    same = replace(
        expert, gate_up_scale=np.full_like(expert.gate_up_scale, 0.3), down_scale=np.full_like(expert.down_scale, 0.7)
    )
    for dtype in (OCP, LEGACY):
        tensors, reports = Fp8OutputBlock(dtype).requantise(same)
        np.testing.assert_array_equal(tensors["down_proj_weight"][:I].astype(np.float32), same.down.astype(np.float32))
        assert (reports["down_proj_weight"].shifted, reports["down_proj_weight"].zeroed) == (0, 0)
        assert reports["down_proj_weight"].nrmse < 1e-7


def test_experts_without_blocks_get_some_first():
    rng = np.random.default_rng(11)
    expert = Expert(*(rng.standard_normal(shape).astype(np.float32) for shape in ((H, 2, I), (I, H))))
    kept = Fp8OutputBlock().unpack_expert(Fp8OutputBlock().pack_expert(expert), H, I)
    assert np.linalg.norm(kept.down - expert.down) < 0.05 * np.linalg.norm(expert.down)
