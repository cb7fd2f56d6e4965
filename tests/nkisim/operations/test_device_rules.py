"""Rules that compilers for devices are reported to have: what just passes, what is refused, what is noted."""

import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DtypeError, ViewError

HWDGE = nisa.dge_mode.hwdge


def moved(dtype="uint32", partitions=128, first=0):
    """Copies a column of a tile, counted from `first`, whose number lies in a tile of `dtype`."""
    source = tile((128, 8))
    part = source[0:partitions, first:]
    column = part.ap([[8, partitions], [1, 1]], scalar_offset=tile((1, 1), dtype), indirect_dim=1)
    nisa.tensor_copy(tile((partitions, 1)), column)


def test_an_offset_into_a_tile_is_uint32(trn2, refuses):
    trn2.attempt(moved)
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: moved("int32"))


def test_an_offset_into_hbm_may_be_int32(trn2):
    trn2.attempt(lambda: nl.load(hbm((4, 8)).ap([[8, 1], [1, 8]], scalar_offset=tile((1, 1), "int32"))))


@pytest.mark.parametrize(
    ("options", "actual"), [({"partitions": 64}, "64 partitions"), ({"first": 2}, "from element 2")]
)
def test_notes_an_offset_into_a_part_of_a_tile(trn2, options, actual):
    assert trn2.run(moved).findings == []
    (note,) = trn2.run(lambda: moved(**options)).findings
    assert note.code == "NKI410"
    assert actual in str(note)


def test_refuses_a_stationary_operand_of_two_free_dimensions(trn2, refuses):
    def multiply(stationary, moving):
        columns = stationary.shape[1] * stationary.shape[2]
        nisa.nc_matmul(psum((columns, moving.shape[1] * moving.shape[2])), stationary, moving)

    wide = (8, 4, 6)
    trn2.attempt(lambda: multiply(tile(wide), tile(wide)[:, :, :3]))  # one step goes through all of it
    trn2.attempt(lambda: multiply(tile(wide)[:, :, :1], tile(wide)))
    with refuses(ViewError, "NKI201", "[[6, 4], [1, 3]]"):
        trn2.attempt(lambda: multiply(tile(wide)[:, :, :3], tile(wide)))


def gathered(columns):
    """Kernel that gathers as many columns from each of two rows of 8."""

    def kernel(x, rows):
        picked = nl.ndarray((2, columns), nl.float32)
        nisa.dma_copy(picked, x.ap([[8, 2], [1, columns]], vector_offset=nl.load(rows)))
        return store(picked)

    return kernel


def test_a_gather_stays_in_its_rows(trn2, refuses):
    x, rows = random_values((4, 8)), np.array([[2], [0]], np.int32)
    np.testing.assert_array_equal(trn2.outputs(gathered(8), x, rows), x[[2, 0]])
    with refuses(ViewError, "NKI201", "9 elements of rows of 8"):
        trn2.run(gathered(9), x, rows)


def test_where_findings_are_collected_a_gather_reads_on(trn2):
    x, rows = random_values((4, 8)), np.array([[2], [0]], np.int32)
    run = trn2.run(gathered(16), x, rows, report_only=True)
    np.testing.assert_array_equal(run.outputs, [x[2:4].ravel(), x[0:2].ravel()])
    assert [finding.code for finding in run.findings] == ["NKI201"]


def test_a_transpose_by_hardware_descriptors_starts_at_32_bytes(trn2, refuses):
    def transpose(first, mode=HWDGE):
        dst = tile((32, 64), "bfloat16")
        nisa.dma_transpose(dst[:, first : first + 16], hbm((16, 32), "bfloat16"), dge_mode=mode)

    trn2.attempt(lambda: transpose(16))
    trn2.attempt(lambda: transpose(8, nisa.dge_mode.unknown))
    with refuses(ViewError, "NKI201", "byte 16"):
        trn2.attempt(lambda: transpose(8))


def test_notes_a_device_loop_in_another(trn2):
    def clear(_):
        nisa.memset(tile((1, 1)), 1.0)

    def kernel(bodies):
        for body in bodies:
            nl.fori_loop(0, 2, body)
        return store(tile((1, 1)))

    assert trn2.run(kernel, [clear, clear]).findings == []
    (note,) = trn2.run(kernel, [lambda _: nl.fori_loop(0, 2, clear)]).findings
    assert note.code == "NKI410"
