"""Positions in the packed MX tensors, against the formulas of the kernel's documentation written as loops."""

import numpy as np
import pytest

from nkimoe.weights import MxLayout, block_layout, natural_layout, pack_scales

SIZES = pytest.mark.parametrize(("H", "I"), [(512, 65), (512, 32), (2880, 96), (512, 700), (1024, 512), (600, 1024)])
LAYOUTS = pytest.mark.parametrize("layout_of", [natural_layout, block_layout])


def numbered(*shape):
    return np.arange(1, 1 + np.prod(shape), dtype=np.int32).reshape(shape)


@SIZES
def test_natural_positions_are_the_documented_ones(H, I):
    layout = natural_layout(H, I)
    padded_H, padded_I = -(-H // 512) * 512, -(-I // 32) * 32
    gate_up = np.zeros((padded_H, 2, padded_I), np.int32)
    gate_up[:H, :, :I] = numbered(H, 2, I)
    arranged = layout.arrange_gate_up(numbered(H, 2, I))
    assert arranged.shape == (128, 2, padded_H // 512, padded_I, 4)
    for q in range(4):
        for h in range(padded_H // 512):
            first = q * (padded_H // 4) + h * 128
            np.testing.assert_array_equal(arranged[:, :, h, :, q], gate_up[first : first + 128])

    w, tiles = (128, -(-padded_I // 512)) if padded_I > 512 else (padded_I // 4, 1)
    down, bias = np.zeros((tiles * 4 * w, padded_H), np.int32), np.zeros((2, tiles * 4 * w), np.int32)
    down[:I, :H], bias[:, :I] = numbered(I, H), numbered(2, I)
    arranged, arranged_bias = layout.arrange_down(numbered(I, H)), layout.arrange_bias(numbered(2, I))
    assert arranged.shape == (w, tiles, padded_H, 4)
    assert arranged_bias.shape == (w, 2, tiles, 4)
    for i in range(tiles):
        w_i = min(512, padded_I - i * 512) // 4
        assert not arranged[w_i:, i].any()
        assert not arranged_bias[w_i:, :, i].any()
        for q in range(4):
            first = i * 512 + q * w_i
            np.testing.assert_array_equal(arranged[:w_i, i, :, q], down[first : first + w_i])
            np.testing.assert_array_equal(arranged_bias[:w_i, :, i, q], bias[:, first : first + w_i].T)


@SIZES
@LAYOUTS
def test_restoring_gives_back_what_was_arranged(layout_of, H, I):
    layout = layout_of(H, I)
    gate_up, down, bias = numbered(H, 2, I), numbered(I, H), numbered(2, I)
    np.testing.assert_array_equal(layout.restore_gate_up(layout.arrange_gate_up(gate_up)), gate_up)
    np.testing.assert_array_equal(layout.restore_down(layout.arrange_down(down)), down)
    np.testing.assert_array_equal(layout.restore_bias(layout.arrange_bias(bias)), bias)


@SIZES
@LAYOUTS
def test_the_layer_computes_the_same_in_the_packed_positions(layout_of, H, I):
    """Integers, so that sums are exact: gate/up columns meet the rows of down, and hidden states those of gate/up."""
    rng, layout = np.random.default_rng(0), layout_of(H, I)
    x, gate_up, down = (rng.integers(-4, 5, shape) for shape in ((3, H), (H, 2, I), (I, H)))
    placed_x, placed = layout.arrange_hidden(x), layout.arrange_gate_up(gate_up)
    tokens = placed_x.reshape(3, 4, layout.H_tiles, 128)  # q, h, p: how the kernel views a row
    gate, up = np.einsum("tqhp,pghcq->gtc", tokens, placed)
    m = np.zeros((3, layout.I_tiles, 4, layout.width), gate.dtype)
    for i in range(layout.I_tiles):
        tile = (gate * up)[:, i * 512 : i * 512 + 512]
        m[:, i, :, : tile.shape[1] // 4] = tile.reshape(3, 4, -1)
    y = np.einsum("tiqp,pihq->th", m, layout.arrange_down(down))
    expected = (x @ gate_up[:, 0]) * (x @ gate_up[:, 1]) @ down
    np.testing.assert_array_equal(y[:, :H], expected)
    assert not y[:, H:].any()


@pytest.mark.parametrize("first", [0, 90, 720, 2860, 31])
@pytest.mark.parametrize("I", [90, 720, 33, 96])
def test_block_layout_puts_one_block_of_the_checkpoint_in_each_block_of_the_kernel(I, first):
    layout = block_layout(2880, I, first)
    rows = np.where(layout.hidden < 0, -1, layout.hidden // 32)
    tokens = rows.reshape(4, layout.H_tiles, 16, 8)
    one_block(tokens.transpose(1, 2, 0, 3).reshape(-1, 32))
    columns = np.where(layout.tiled_columns < 0, -1, (layout.tiled_columns + first) // 32)
    tiles = columns.reshape(layout.I_tiles, 4, layout.width // 8, 8)
    one_block(tiles.transpose(0, 2, 1, 3).reshape(-1, 32))


def one_block(groups):
    seen = [set(group[group >= 0]) for group in groups]
    assert all(len(blocks) <= 1 for blocks in seen)
    assert sum(map(len, seen)) == len(set().union(*seen))


@pytest.mark.parametrize("I", [90, 720, 65])
def test_all_ranks_have_tensors_of_one_shape(I):
    assert len({block_layout(512, I, first).padded_I for first in range(0, 20 * I, I)}) == 1


@pytest.mark.parametrize(("tiles", "rows"), [(1, 16), (3, 4), (6, 16), (8, 3)])
def test_packed_scales_share_a_quadrant(tiles, rows):
    gate_up, down = numbered(2, rows, 2, tiles, 5), numbered(2, rows, tiles, 7)
    packed_gate_up, packed_down = pack_scales(gate_up), pack_scales(down)
    assert packed_gate_up.shape == (2, 128, -(-tiles // 4), 2, 5)
    assert packed_down.shape == (2, 128, -(-tiles // 4), 7)
    for k in range(tiles):
        for r in range(rows):
            partition = r // 4 * 32 + k % 4 * 4 + r % 4
            np.testing.assert_array_equal(packed_gate_up[:, partition, k // 4], gate_up[:, r, :, k])
            np.testing.assert_array_equal(packed_down[:, partition, k // 4], down[:, r, k])
    assert np.count_nonzero(packed_down) == down.size


def test_padding_is_marked():
    layout: MxLayout = natural_layout(600, 65)
    assert (layout.padded_H, layout.padded_I, layout.H_tiles, layout.I_tiles, layout.width) == (1024, 96, 2, 1, 24)
    np.testing.assert_array_equal(layout.hidden[600:], -1)
    np.testing.assert_array_equal(layout.columns[65:], -1)
