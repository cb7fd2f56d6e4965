"""Tensors at one address: written through the one while a transfer may still be reading the other."""

import numpy as np
import pytest
from support.device import random_values, store

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DmaOrderError


def at(byte):
    return nl.ndarray((8, 16), nl.float32, buffer=nl.sbuf, address=(0, byte))


def clears(byte, waits=False, by=nisa.memset):
    """Kernel that stores a tile and then clears one at `byte`; `waits`: after reading what was stored."""

    def kernel(x):
        source, out = at(0), nl.ndarray(x.shape, nl.float32, buffer=nl.shared_hbm)
        cleared = source if byte is None else at(byte)
        nisa.dma_copy(source, x)
        nisa.dma_copy(out, source)
        if waits:
            nl.load(out)
        by(cleared, 0.0)
        return out, store(cleared)

    return kernel


def compare(kernel, **options):
    return nkisim.Simulator("trn2", **options).compare_dma_orders(kernel, random_values((8, 16)))


def test_finds_a_tile_cleared_while_its_neighbour_is_stored(refuses):
    assert compare(clears(64)).findings == []
    with refuses(DmaOrderError, "NKI407", "memset writes", "may be reading"):
        compare(clears(0))
    with refuses(DmaOrderError, "NKI407", "memset writes"):
        compare(clears(60))


@pytest.mark.parametrize("kernel", [clears(None), clears(0, waits=True)], ids=["one tensor", "after its result"])
def test_accepts_what_waits_for_the_transfer(kernel):
    assert compare(kernel).findings == []


def test_transfers_overtake_transfers():
    def load(dst, _):
        nisa.dma_copy(dst, nl.zeros((8, 16), nl.float32, buffer=nl.private_hbm))

    findings = compare(clears(0, by=load), report_only=True).findings
    assert [finding.code for finding in findings if "dma_copy writes" in str(finding)] == ["NKI407"]


def test_a_run_in_one_order_does_not_look_for_it(trn2):
    outputs = trn2.outputs(clears(0), np.ones((8, 16), np.float32))
    assert outputs[0].all()
    assert not outputs[1].any()
