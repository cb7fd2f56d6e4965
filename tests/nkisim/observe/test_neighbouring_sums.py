"""Sums of several matmuls in one PSUM tensor: a note where two share a bank."""

import pytest
from support.device import store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl


def findings(device, order, columns=8, steps=2, **options):
    """Codes of the findings of a kernel that adds up in parts of a PSUM tensor, given as their first columns."""

    def kernel():
        sums = nl.ndarray((8, 2048), nl.float32, buffer=nl.psum)
        for first in order:
            if first is None:
                nisa.tensor_copy(tile((8, 2048)), sums)
            else:
                nisa.nc_matmul(sums[:, first : first + columns], tile((8, 8)), tile((8, columns)), **options)
        return store(tile((1, 1)))

    return [f.code for f in device.run(kernel, report_only=True).findings if f.code != "NKI401"]


@pytest.mark.parametrize("order", [(0, 0, 8, 8), (0, 8, 0, 8), (8, 8, 0, 0), (0, 8, 8, 0)])
def test_notes_two_sums_in_a_bank_of_one_tensor(trn2, order):
    assert findings(trn2, order) == ["NKI411"]


def test_a_note_stops_no_run(trn2):
    def kernel():
        sums = nl.ndarray((8, 16), nl.float32, buffer=nl.psum)
        for first in (0, 0, 8, 8):
            nisa.nc_matmul(sums[:, first : first + 8], tile((8, 8)), tile((8, 8)))
        result = tile((8, 16))
        nisa.tensor_copy(result, sums)
        return store(result)

    run = trn2.run(kernel)
    assert [(f.code, "nc_matmul adds up a second one" in str(f)) for f in run.findings] == [("NKI411", True)]


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((0, 512, 0, 512), id="each in a bank of its own"),
        pytest.param((0, 0, 0, 8), id="one sum and one product"),
        pytest.param((0, 8, 16, 24), id="products only"),
        pytest.param((0, 0, None, 8, 8), id="one after the other was read"),
    ],
)
def test_accepts_sums_that_do_not_meet(trn2, order):
    assert findings(trn2, order) == []


def test_accepts_matmuls_that_overwrite(trn2):
    assert "NKI411" not in findings(trn2, (0, 8, 0, 8), accumulate=False)


def test_accepts_sums_in_other_partitions(trn2):
    def kernel():
        sums = nl.ndarray((64, 8), nl.float32, buffer=nl.psum)
        for first in (0, 0, 32, 32):
            part = sums[first : first + 32]
            nisa.nc_matmul(part, tile((32, 32)), tile((32, 8)), tile_position=(0, first), tile_size=(32, 32))
        result = tile((64, 8))
        nisa.tensor_copy(result, sums)
        return store(result)

    assert trn2.run(kernel).findings == []


def test_each_tensor_counts_for_itself(trn2):
    def kernel():
        for _ in range(2):
            one = nl.ndarray((8, 8), nl.float32, buffer=nl.psum)
            for _ in range(2):
                nisa.nc_matmul(one, tile((8, 8)), tile((8, 8)))
            nisa.tensor_copy(tile((8, 8)), one)
        return store(tile((1, 1)))

    assert trn2.run(kernel).findings == []
