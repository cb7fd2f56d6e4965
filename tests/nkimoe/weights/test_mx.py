"""MX packing of experts: shapes, round trips, odd sizes, blocks taken over from gpt-oss checkpoints, biases."""

import ml_dtypes
import numpy as np
import pytest

from nkimoe import InputError, RequestError
from nkimoe.weights import (
    MX_FORMATS,
    MXFP4,
    Expert,
    KeepMxfp4Blocks,
    Mx,
    Mxfp4Expert,
    Shard,
    experts_of,
    natural_layout,
    pack,
    unpack,
    unpack_mx,
)
from nkimoe.weights.mxfp4_expert import decode_blocks

FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
FORMATS = pytest.mark.parametrize("name", MX_FORMATS)
SIZES = pytest.mark.parametrize(("H", "I"), [(512, 65), (2880, 96), (512, 700), (64, 16)])


def expert_of(H, I, seed=0):
    rng = np.random.default_rng(seed)
    return Expert(*(rng.standard_normal(s).astype(np.float32) for s in ((H, 2, I), (I, H), (2, I), (H,))))


def blocks_of(columns, K, rng):
    """A checkpoint's blocks and scales: [columns, K/32, 16], [columns, K/32]."""
    blocks = rng.integers(0, 256, (columns, K // 32, 16)).astype(np.uint8)
    return blocks, rng.integers(100, 140, (columns, K // 32)).astype(np.uint8)


def decoded(blocks, scales):
    """[columns, K] float64 of blocks and scales."""
    values = np.stack([np.take(FP4, blocks % 16), np.take(FP4, blocks // 16)], axis=-1)
    return (values.reshape(*scales.shape, 32) * 2.0 ** (scales[..., None] - 127.0)).reshape(len(blocks), -1)


def gpt_oss_expert(H, I, seed=0):
    """An expert as the checkpoint reader makes it (gate and up alternate in the checkpoint), and its real weights."""
    rng = np.random.default_rng(seed)
    raw = [blocks_of(2 * I, H, rng), blocks_of(H, I, rng)]
    (gate_up, gate_up_scale), (down, down_scale) = (decode_blocks("w", *pair) for pair in raw)
    real = [decoded(*pair) for pair in raw]
    split = [np.stack([part[:, 0::2], part[:, 1::2]], axis=1) for part in (gate_up, gate_up_scale, real[0].T)]
    bias, down_bias = rng.standard_normal((2, I)), rng.standard_normal(H)
    expert = Mxfp4Expert(split[0], down, bias, down_bias, gate_up_scale=split[1], down_scale=down_scale)
    return expert, split[2], real[1].T


@FORMATS
@SIZES
def test_shapes_are_the_documented_ones(name, H, I):
    packed = pack([expert_of(H, I)] * 2, Mx(name))
    h, padded_I = -(-H // 512), -(-I // 32) * 32
    w, i = (128, -(-padded_I // 512)) if padded_I > 512 else (padded_I // 4, 1)
    assert {key: tensor.shape for key, tensor in packed.items()} == {
        "gate_up_proj_weight": (2, 128, 2, h, padded_I),
        "down_proj_weight": (2, w, i, h * 512),
        "gate_up_proj_scale": (2, 16, 2, h, padded_I),
        "down_proj_scale": (2, w // 8, i, h * 512),
        "gate_and_up_proj_bias": (2, w, 2, i, 4),
        "down_proj_bias": (2, h * 512),
    }
    assert packed["gate_up_proj_weight"].dtype == packed["down_proj_weight"].dtype == MX_FORMATS[name].packed
    assert packed["gate_up_proj_scale"].dtype == packed["down_proj_scale"].dtype == np.uint8


@FORMATS
@SIZES
@pytest.mark.parametrize("rule", ["floor", "isa", "rceil", "even"])
def test_packing_what_was_unpacked_gives_the_same_bits(name, H, I, rule):
    packing = Mx(name, rule)
    packed = pack([expert_of(H, I)], packing)
    (real,) = unpack(packed, packing, H, I)
    kept = Mx(name, "rceil")  # reads the scale of a quantised block back
    again = unpack(pack([real], kept), kept, H, I)[0]
    np.testing.assert_array_equal(again.gate_up, real.gate_up)
    np.testing.assert_array_equal(again.down, real.down)
    np.testing.assert_array_equal(again.gate_up_bias, expert_of(H, I).gate_up_bias)
    np.testing.assert_array_equal(again.down_bias, expert_of(H, I).down_bias)


@FORMATS
def test_a_block_is_eight_rows_of_each_quarter(name):
    """One large weight takes the small ones of its block, and no other, below the smallest value."""
    expert = Expert(np.ones((1024, 2, 32), np.float32), np.ones((32, 1024), np.float32))
    expert.gate_up[256 + 128 + 19, 1, 5] = 2.0**60  # q = 1, h = 1, p = 19
    expert.down[8 + 3, 7] = 2.0**60  # w = 8: q = 1, p = 3
    real = Mx(name).unpack_expert(Mx(name).pack_expert(expert), 1024, 32)
    lost = [q * 256 + 128 + p for q in range(4) for p in range(16, 24)]
    lost.remove(256 + 128 + 19)
    np.testing.assert_array_equal(np.flatnonzero(real.gate_up[:, 1, 5] == 0), lost)
    assert np.count_nonzero(real.gate_up == 0) == 31
    np.testing.assert_array_equal(np.argwhere(real.down == 0), [[i, 7] for i in range(32) if i != 11])


@pytest.mark.parametrize("name", ["mxfp8", "mxfp4"])
@pytest.mark.parametrize("field", ["gate_up", "down"])
def test_values_without_a_scale_are_refused_by_name(name, field):
    expert = expert_of(512, 32)
    getattr(expert, field)[5, 1] = np.nan
    with pytest.raises(InputError, match=f"{field}_proj_weight: is finite"):
        Mx(name).pack_expert(expert)


def test_unknown_formats_and_experts_without_blocks_are_refused():
    with pytest.raises(RequestError, match="format: is one of mxfp4, mxfp8, mxfp8-e5m2; got 'fp6'"):
        Mx("fp6").pack_expert(expert_of(512, 32))
    with pytest.raises(RequestError, match="is an Mxfp4Expert, with blocks to keep; got Expert"):
        KeepMxfp4Blocks().pack_expert(expert_of(512, 32))


@pytest.mark.parametrize(("H", "I"), [(64, 96), (544, 512), (2880, 32), (512, 544)])
def test_blocks_of_a_checkpoint_are_kept_bit_for_bit(H, I):
    expert, gate_up, down = gpt_oss_expert(H, I)
    packed = KeepMxfp4Blocks().pack_expert(expert)
    real = KeepMxfp4Blocks().unpack_expert(packed, H, I)
    np.testing.assert_array_equal(real.gate_up, gate_up)
    np.testing.assert_array_equal(real.down, down)
    np.testing.assert_array_equal(real.gate_up_bias, expert.gate_up_bias)
    scales = expert.gate_up_scale[::32], expert.down_scale[::32]
    for name, scale in zip(("gate_up_proj_scale", "down_proj_scale"), scales, strict=True):
        np.testing.assert_array_equal(np.sort(packed[name], axis=None)[-scale.size :], np.sort(scale, axis=None))


@pytest.mark.parametrize("tp", [2, 3, 8])
def test_ranks_that_cut_blocks_keep_them_too(tp):
    H, I = 544, 192
    expert, gate_up, down = gpt_oss_expert(H, I)
    own = -(-I // tp)
    for rank in range(tp):
        part = expert.shard(Shard(tp, rank))
        layout = KeepMxfp4Blocks().layout(part)
        real = unpack_mx(KeepMxfp4Blocks().pack_expert(part), MXFP4, layout)
        columns = slice(rank * own, (rank + 1) * own)
        np.testing.assert_array_equal(real.gate_up[:, :, : min(own, I - rank * own)], gate_up[:, :, columns])
        np.testing.assert_array_equal(real.down, down[columns])
        np.testing.assert_array_equal(part.down_bias, expert.down_bias if rank == 0 else 0 * expert.down_bias)


def test_a_share_of_a_share_is_the_smaller_share():
    expert, _, _ = gpt_oss_expert(64, 96)
    twice, once = expert.shard(Shard(2, 1)).shard(Shard(2, 1)), expert.shard(Shard(4, 3))
    assert twice.first_column == once.first_column == 72
    np.testing.assert_array_equal(twice.gate_up, once.gate_up)
    np.testing.assert_array_equal(twice.down_scale, once.down_scale)
    np.testing.assert_array_equal(twice.gate_up_bias, once.gate_up_bias)


def test_kept_blocks_compute_the_layer_when_the_hidden_states_follow():
    H, I = 2880, 64
    expert, gate_up, down = gpt_oss_expert(H, I)
    layout = KeepMxfp4Blocks().layout(expert)
    packed = KeepMxfp4Blocks().pack_expert(expert)
    plain = unpack_mx({k: t for k, t in packed.items() if "bias" not in k}, MXFP4, natural_layout(3072, 64))
    x = np.random.default_rng(3).integers(-3, 4, (5, H)).astype(np.float64)
    position = layout.arrange_hidden(x)
    m = np.einsum("th,hgc->gtc", position, plain.gate_up.astype(np.float64)).prod(axis=0)
    np.testing.assert_allclose(
        (m @ plain.down)[:, :H], np.einsum("th,hgc->gtc", x, gate_up).prod(axis=0) @ down, rtol=1e-9
    )


@FORMATS
def test_a_gpt_oss_expert_can_be_quantised_anew(name):
    expert, gate_up, down = gpt_oss_expert(512, 64)
    real = Mx(name).unpack_expert(Mx(name).pack_expert(expert), 512, 64)
    error = np.linalg.norm(real.gate_up - gate_up) / np.linalg.norm(gate_up)
    assert error < {"mxfp4": 0.13, "mxfp8": 0.03, "mxfp8-e5m2": 0.06}[name]
    assert np.linalg.norm(real.down - down) / np.linalg.norm(down) < 0.13


def test_blocks_of_another_form_are_refused():
    blocks, scales = blocks_of(4, 64, np.random.default_rng(0))
    with pytest.raises(RequestError, match=r"uint8 blocks .* got uint8 \(4, 2, 16\) and uint8 \(4, 1\)"):
        decode_blocks("experts.down_proj", blocks, scales[:, :1])
    with pytest.raises(RequestError, match="got int8"):
        decode_blocks("experts.down_proj", blocks.view(np.int8), scales)
    scales[1, 1] = 255
    with pytest.raises(InputError, match=r"experts\.down_proj: has finite scales; got a scale of 255"):
        decode_blocks("experts.down_proj", blocks, scales)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_any_float_type_may_be_packed(dtype):
    gate_up, down = np.full((1, 512, 2, 32), 0.75, dtype), np.full((1, 32, 512), -3, dtype)
    (real,) = unpack(pack(experts_of(gate_up, down), Mx("mxfp4")), Mx("mxfp4"), 512, 32)
    np.testing.assert_array_equal(real.gate_up, 0.75)
    np.testing.assert_array_equal(real.down, -3)
