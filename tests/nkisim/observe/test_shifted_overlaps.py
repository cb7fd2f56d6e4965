"""Instructions that write, at another place, what they read: a note, because engines stream."""

import pytest
from support.device import hbm, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl


def codes(device, body):
    """Codes of the findings of a kernel with this body."""

    def kernel():
        body()
        return store(tile((1, 1)))

    return [finding.code for finding in device.run(kernel).findings]


def copy(shape, written, read, make=tile):
    """An instruction that copies one part of a tensor over another."""

    def body():
        whole = make(shape)
        (nisa.dma_copy if make is hbm else nisa.tensor_copy)(written(whole), read(whole))

    return body


SHIFTED = {
    "a column on": copy((8, 17), lambda t: t[:, 1:], lambda t: t[:, :16]),
    "a column back": copy((8, 17), lambda t: t[:, :16], lambda t: t[:, 1:]),
    "a row of HBM on": copy((8, 17), lambda t: t[1:], lambda t: t[:7], hbm),
    "turned": copy((8, 4, 4), lambda t: t, lambda t: t.permute((0, 2, 1))),
    "one column everywhere": copy((8, 16), lambda t: t, lambda t: t[:, 3:4].broadcast(1, 16)),
    "every second column on": copy((8, 17), lambda t: t[:, 1:16:2], lambda t: t[:, 0:8]),
}
APART = {
    "in place": copy((8, 16), lambda t: t, lambda t: t),
    "in place in another shape": copy((8, 16), lambda t: t, lambda t: t.reshape((8, 4, 4))),
    "other columns": copy((8, 16), lambda t: t[:, :8], lambda t: t[:, 8:]),
    "between": copy((8, 16), lambda t: t[:, ::2], lambda t: t[:, 1::2]),
    "a column for each partition": lambda: nisa.tensor_scalar(t := tile((8, 4)), t, nl.add, t[:, 1:2]),
    "reduced into itself": lambda: nisa.tensor_reduce((t := tile((8, 4)))[:, 0:1], nl.add, t, 1),
}


@pytest.mark.parametrize("body", SHIFTED.values(), ids=SHIFTED)
def test_notes_what_is_written_over_what_is_still_to_be_read(trn2, body):
    assert codes(trn2, body) == ["NKI410"]


@pytest.mark.parametrize("body", APART.values(), ids=APART)
def test_accepts_operands_at_one_place_or_apart(trn2, body):
    assert codes(trn2, body) == []
