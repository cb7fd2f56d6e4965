"""Tensors navigated by tiles and blocks, against NumPy's own selection of the same elements."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import Device, hbm, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, GridError, NotSimulated, OutOfBounds, PartitionError, ShapeError

TILE, BLOCK = (16, 8), (2, 3)


def copy_by_cells(grid_of):
    """A kernel that moves a tensor cell by cell through SBUF."""

    def kernel(source):
        copy = nl.ndarray(source.shape, source.dtype, buffer=nl.shared_hbm)
        here, there = grid_of(source), grid_of(copy)
        for i in range(here.shape[0]):
            for j in range(here.shape[1]):
                cell = here[i, j]
                on_chip = nl.ndarray(cell.element_shape, source.dtype, buffer=nl.sbuf)
                nisa.dma_copy(dst=on_chip.data, src=cell.data)
                nisa.dma_copy(dst=there[i, j].data, src=on_chip.data)
        return copy

    return kernel


@pytest.mark.parametrize("shape", [(64, 48), (60, 45), (7, 5)])
@pytest.mark.parametrize("options", [{}, {"block_shape": BLOCK}])
def test_moving_every_cell_moves_the_tensor_though_the_last_ones_are_cut_short(trn2, shape, options):
    view = nl.blocks if options else nl.tiles
    values = random_values(shape)
    copy = trn2.outputs(copy_by_cells(lambda tensor: view(tensor, tile_shape=TILE, **options)), values)
    np.testing.assert_array_equal(copy, values)


@st.composite
def selections(draw):
    """Sizes of a tensor, of its tiles and blocks, and an integer or a slice that selects along each dimension."""
    sizes, tiles, groups, keys = [], [], [], []
    for _ in range(2):
        size, tile_size, group = draw(st.integers(1, 40)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
        cells = -(-size // (tile_size * group))
        first = draw(st.integers(0, cells - 1))
        piece = slice(first, draw(st.integers(first + 1, cells)), draw(st.sampled_from([None, 1, 2])))
        keys.append(draw(st.sampled_from([first, first - cells, piece, slice(None)])))
        sizes.append(size), tiles.append(tile_size), groups.append(group)
    return tuple(sizes), tuple(tiles), tuple(groups), tuple(keys)


@given(selections())
@settings(max_examples=150, deadline=None)
def test_a_selection_holds_the_elements_of_its_cells(selection):
    sizes, tile_shape, group, keys = selection
    values = np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)
    chosen, steps = [], []
    for size, width, key in zip(sizes, np.multiply(tile_shape, group), keys, strict=True):
        cells = np.arange(-(-size // width))[key]
        chosen.append(np.isin(np.arange(size) // width, cells))
        steps.append(np.ndim(cells))
    gaps = any(np.any(np.diff(np.flatnonzero(mask)) > 1) for mask in chosen)

    def kernel(source):
        grid = nl.blocks(source, tile_shape=tile_shape, block_shape=group)[keys]
        assert isinstance(grid, nl.NkiBlockGrid)
        assert (grid.tile_shape, grid.block_shape, grid.dtype) == (tile_shape, group, source.dtype)
        assert grid.element_shape == tuple(int(mask.sum()) for mask in chosen)
        assert len(grid.shape) == sum(steps)
        if gaps:
            with pytest.raises(NotSimulated, match="NKI001"):
                _ = grid.data
            return nl.zeros((1, 1), "float32", buffer=nl.shared_hbm)
        assert grid.is_data_representable
        out = nl.ndarray(grid.element_shape, "float32", buffer=nl.shared_hbm)
        nisa.dma_copy(out, grid.data)
        return out

    found = Device("trn2").outputs(kernel, values)
    if not gaps:
        np.testing.assert_array_equal(found, values[np.ix_(*chosen)])


def test_integers_take_coordinates_away_and_slices_keep_them(trn2):
    def kernel():
        grid = nl.tiles(hbm((64, 48)), tile_shape=TILE)
        assert (grid.shape, grid.index_step_elements) == ((4, 6), (16, 8))
        assert (grid[1].shape, grid[1].element_shape, grid[1].index_step_elements) == ((6,), (16, 48), (8,))
        assert (grid[1][2].shape, grid[1, 2].element_shape) == ((), TILE)
        assert (grid[::2].shape, grid[::2].index_step_elements) == ((2, 6), (32, 8))
        assert grid[:, -1].element_shape == (64, 8)
        assert isinstance(grid[1, 2], nl.NkiGrid)

    trn2.attempt(kernel)


def test_a_block_shows_the_tiles_inside_it(trn2):
    values = random_values((60, 45))

    def kernel(source):
        inner = nl.tiles(nl.blocks(source, tile_shape=TILE, block_shape=BLOCK)[1, 1])
        assert isinstance(inner, nl.NkiTileGrid)
        assert (inner.shape, inner.element_shape) == ((2, 3), (28, 21))
        out = nl.ndarray(inner[1, 2].element_shape, "float32", buffer=nl.shared_hbm)
        nisa.dma_copy(out, inner[1, 2].data)
        return out

    np.testing.assert_array_equal(trn2.outputs(kernel, values), values[48:60, 40:45])


@pytest.mark.parametrize("buffer", [nl.sbuf, nl.private_hbm])
def test_every_allocated_tile_has_a_place_of_its_own(trn2, buffer):
    values = random_values((60, 45))

    def kernel(source):
        out = nl.ndarray(source.shape, "float32", buffer=nl.shared_hbm)
        made = nl.alloc_tiles(tile_shape=TILE, element_shape=source.shape, buffer=buffer, dtype=nl.float32)
        assert (made.shape, made.element_shape, made.buffer) == ((4, 6), (60, 45), buffer)
        here, there = nl.tiles(source, tile_shape=TILE), nl.tiles(out, tile_shape=TILE)
        for direction in ((made, here), (there, made)):
            for i in range(4):
                for j in range(6):
                    nisa.dma_copy(direction[0][i, j].data, direction[1][i, j].data)
        return out

    np.testing.assert_array_equal(trn2.outputs(kernel, values), values)


def test_allocated_tiles_in_psum_take_results_of_the_engines(trn2):
    def kernel():
        made = nl.alloc_tiles(tile_shape=TILE, element_shape=(20, 12), buffer=nl.psum, dtype=nl.float32)
        out = nl.ndarray((20, 12), "float32", buffer=nl.shared_hbm)
        there = nl.tiles(out, tile_shape=TILE)
        corners = [(i, j) for i in range(2) for j in range(2)]
        for number, corner in enumerate(corners):
            nisa.memset(made[corner].data, number)
        for corner in corners:
            nisa.dma_copy(there[corner].data, nl.copy(made[corner].data))
        return out

    wanted = np.repeat(np.repeat([[0, 1], [2, 3]], (16, 4), axis=0), (8, 4), axis=1)
    np.testing.assert_array_equal(trn2.outputs(kernel), wanted)


def test_one_row_of_allocated_tiles_is_one_operand_and_takes_whole_tiles_of_room(trn2):
    values = random_values((16, 45))

    def kernel(source):
        room = nl.ndarray((16, 48), "float32", buffer=nl.sbuf, address=(0, 1024))
        nisa.memset(room, 7.0)
        made = nl.alloc_blocks(
            tile_shape=TILE,
            block_shape=(1, 4),
            element_shape=(16, 45),
            buffer=nl.sbuf,
            dtype="float32",
            address=(0, 1024),
        )
        assert (made.shape, made.block_shape, made[0, 1].element_shape) == ((1, 2), (1, 4), (16, 13))
        nisa.dma_copy(made.data, source)
        return store(room)

    found = trn2.run(kernel, values, report_only=True).outputs  # reading `room` after writing `made` is an error
    np.testing.assert_array_equal(found[:, :45], values)
    assert (found[:, 45:] == 7).all()


def test_tiles_of_three_dimensions_keep_them_on_chip(trn2):
    values = random_values((4, 6, 10))

    def kernel(source):
        made = nl.alloc_tiles(tile_shape=(4, 4, 8), element_shape=(4, 6, 10), buffer=nl.sbuf, dtype="float32")
        out = nl.ndarray(source.shape, "float32", buffer=nl.shared_hbm)
        here, there = nl.tiles(source, tile_shape=(4, 4, 8)), nl.tiles(out, tile_shape=(4, 4, 8))
        for j in range(2):
            for k in range(2):
                nisa.dma_copy(made[0, j, k].data, here[0, j, k].data)
        for j in range(2):
            for k in range(2):
                nisa.dma_copy(there[0, j, k].data, made[0, j, k].data)
        return out

    np.testing.assert_array_equal(trn2.outputs(kernel, values), values)


def test_empty_like_keeps_kind_coordinates_and_short_cells_but_no_gaps(trn2):
    def kernel():
        grid = nl.blocks(hbm((60, 45)), tile_shape=TILE, block_shape=(1, 1))[1::2, 0]
        made = nl.empty_like(grid, dtype=nl.bfloat16, buffer=nl.sbuf)
        assert isinstance(made, nl.NkiBlockGrid)
        assert (made.shape, made.tile_shape, made.block_shape) == (grid.shape, TILE, (1, 1))
        assert made.element_shape == grid.element_shape == (28, 8)
        assert (made.dtype, made.buffer, made.index_step_elements) == (nl.bfloat16, nl.sbuf, (16,))
        assert made[1].element_shape == made[1].data.shape == (12, 8)
        same = nl.empty_like(tile((4, 5)))
        assert (same.shape, same.buffer) == ((4, 5), nl.sbuf)

    trn2.attempt(kernel)


@pytest.mark.parametrize(
    ("shape", "axes"), [((32, 64), (1, 0)), ((32, 3, 64), (2, 1, 0)), ((32, 2, 3, 64), (3, 1, 2, 0))]
)
def test_transpose_axes_make_the_tensor_that_dma_transpose_fills(trn2, shape, axes):
    values = random_values(shape).astype(np.float16)

    def kernel(source):
        made = nl.empty_like(source, buffer=nl.sbuf, transpose_axes=axes)
        nisa.dma_transpose(made, source, axes=axes)
        return store(made)

    np.testing.assert_array_equal(trn2.outputs(kernel, values), values.transpose(axes))


def test_refuses_transpose_axes_that_are_not_listed_or_make_too_many_partitions(trn2, refuses):
    def like(shape, axes, buffer=nl.sbuf):
        return lambda: nl.empty_like(hbm(shape), buffer=buffer, transpose_axes=axes)

    trn2.attempt(like((4, 128), (1, 0)))
    for bad in (like((4, 129), (1, 0)), like((4, 8), (0, 1)), like((4, 8), (2, 1, 0)), like((4, 8), (1, 0), nl.psum)):
        with refuses(GridError, "NKI107"):
            trn2.attempt(bad)
    with refuses(NotSimulated, "NKI001", "NkiTileGrid"):
        trn2.attempt(lambda: nl.empty_like(nl.tiles(hbm((4, 8)), tile_shape=(4, 4)), transpose_axes=(1, 0)))


@pytest.mark.parametrize("shape", [[16, 8], (16.0, 8), (True, 8), 16])
def test_refuses_shapes_that_are_no_tuples_of_integers(trn2, refuses, shape):
    trn2.attempt(lambda: nl.tiles(hbm((64, 48)), tile_shape=TILE))
    with refuses(ArgumentError, "NKI101", repr(shape)):
        trn2.attempt(lambda: nl.tiles(hbm((64, 48)), tile_shape=shape))
    with refuses(ArgumentError, "NKI101", repr(shape)):
        trn2.attempt(lambda: nl.alloc_tiles(tile_shape=TILE, element_shape=shape, buffer=nl.sbuf, dtype="int8"))


@pytest.mark.parametrize("shape", [(0, 8), (16, -1), (8,), (1, 16, 8)])
def test_refuses_tiles_that_do_not_fit_their_source(trn2, refuses, shape):
    with refuses(GridError, "NKI107", str(shape)):
        trn2.attempt(lambda: nl.tiles(hbm((64, 48)), tile_shape=shape))
    assert issubclass(GridError, ValueError)


def test_refuses_blocks_of_another_rank_than_the_tiles(trn2, refuses):
    trn2.attempt(lambda: nl.blocks(hbm((64, 48)), tile_shape=TILE, block_shape=(2, 2)))
    with refuses(GridError, "NKI107", "(2, 2, 2)"):
        trn2.attempt(lambda: nl.blocks(hbm((64, 48)), tile_shape=TILE, block_shape=(2, 2, 2)))


def test_refuses_sources_without_tiles_and_tensors_without_a_tile_shape(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "ndarray"):
        trn2.attempt(lambda: nl.tiles(np.ones((4, 4)), tile_shape=(4, 4)))
    with refuses(ArgumentError, "NKI101", "None"):
        trn2.attempt(lambda: nl.tiles(hbm((4, 4))))


@pytest.mark.parametrize("key", [4, -5, (0, 6), slice(4, 4), slice(0, 5), slice(2, 1)])
def test_refuses_cells_beyond_the_grid(trn2, refuses, key):
    trn2.attempt(lambda: nl.tiles(hbm((64, 48)), tile_shape=TILE)[3, 5])
    with refuses(OutOfBounds, "NKI204"):
        trn2.attempt(lambda: nl.tiles(hbm((64, 48)), tile_shape=TILE)[key])


@pytest.mark.parametrize("key", [(0, 0, 0), 1.0, None, True, slice(None, None, -1), slice(0, 2.0)])
def test_refuses_other_indices_than_integers_and_slices(trn2, refuses, key):
    with refuses(ArgumentError, "NKI101"):
        trn2.attempt(lambda: nl.tiles(hbm((64, 48)), tile_shape=TILE)[key])


def test_refuses_what_the_pages_leave_open(trn2, refuses):
    def on_chip():
        return nl.alloc_tiles(tile_shape=TILE, element_shape=(64, 48), buffer=nl.sbuf, dtype="float32")

    def runtime():
        return nl.tiles(hbm((64, 48)), tile_shape=TILE)[nisa.register_alloc(1)]

    for bad in (
        runtime,
        lambda: nl.tiles(hbm((2, 64, 48)), tile_shape=TILE),
        lambda: nl.tiles(hbm((64, 48)), tile_shape=TILE).is_remainder,
        lambda: nl.tiles(nl.tiles(hbm((64, 48)), tile_shape=TILE)[::2]),
        lambda: nl.tiles(on_chip(), tile_shape=(8, 8)),
        lambda: on_chip().data,
        lambda: on_chip()[:, 0].is_data_representable,
    ):
        with refuses(NotSimulated, "NKI001"):
            trn2.attempt(bad)


def test_refuses_storage_that_does_not_fit(trn2, refuses):
    def make(tile_shape=(128, 512), element_shape=(1024, 512), buffer=nl.psum):
        return lambda: nl.alloc_tiles(
            tile_shape=tile_shape, element_shape=element_shape, buffer=buffer, dtype="float32"
        )

    trn2.attempt(make())
    with refuses(ShapeError, "NKI102", "18432 bytes"):
        trn2.attempt(make(element_shape=(1152, 512)))
    with refuses(PartitionError, "NKI202", "(256, "):
        trn2.attempt(make(tile_shape=(256, 512), element_shape=(256, 512), buffer=nl.sbuf))
    with refuses(ArgumentError, "NKI101", "'sbuf'"):
        trn2.attempt(make(buffer="sbuf"))


def test_an_instruction_asks_for_the_data_of_a_grid(trn2, refuses):
    trn2.attempt(lambda: nisa.memset(nl.tiles(nl.ndarray((16, 8), "int8"), tile_shape=TILE)[0, 0].data, 0))
    with refuses(ArgumentError, "NKI101", "NkiTileGrid"):
        trn2.attempt(lambda: nisa.memset(nl.tiles(nl.ndarray((16, 8), "int8"), tile_shape=TILE)[0, 0], 0))
