"""32-bit integers that do not fit in the fp32 of the engines: the value a device gives, and a note."""

import numpy as np
import pytest
from support.device import store

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl

ODD = 2**25 + 1
VECTOR, GPSIMD, SCALAR = nisa.engine.vector, nisa.engine.gpsimd, nisa.engine.scalar


def run(trn2, body, value, shape=(4, 2)):
    """The result of `body(dst, tile)` for a tile of `value`, and the codes of its findings."""

    def kernel(array):
        x = nl.load(array)
        dst = nl.ndarray(shape, nl.int32)
        body(dst, x)
        return store(dst)

    done = trn2.run(kernel, np.full((4, 2), value, np.int32))
    return done.outputs.reshape(-1).tolist(), [finding.code for finding in done.findings]


def test_nl_copy_goes_through_fp32_with_a_note(trn2):
    def kernel(array):
        return store(nl.copy(nl.load(array)))

    done = trn2.run(kernel, np.full((4, 2), ODD, np.int32))
    assert (done.outputs == ODD - 1).all()
    assert [finding.code for finding in done.findings] == ["NKI409"]
    done = trn2.run(kernel, np.full((4, 2), 2**24, np.int32))
    assert (done.outputs == 2**24).all()
    assert not done.findings


@pytest.mark.parametrize(
    ("body", "value", "result", "is_noted"),
    [
        (lambda d, x: nisa.tensor_scalar(d, x, nl.multiply, 3), ODD, 100663296, True),
        (lambda d, x: nisa.tensor_scalar(d, x, nl.multiply, 3), 2**23 + 1, 25165828, True),
        (lambda d, x: nisa.tensor_scalar(d, x, nl.multiply, 2), 2**23, 2**24, False),
        (lambda d, x: nisa.tensor_scalar(d, x, nl.bitwise_xor, 1), ODD, ODD - 1, False),
        (lambda d, x: nisa.tensor_tensor(d, x, x, nl.add, engine=VECTOR), 2**23 + 1, 2**24 + 2, True),
        (lambda d, x: nisa.tensor_tensor(d, x, x, nl.add, engine=GPSIMD), ODD, 2 * ODD, False),
        (lambda d, x: nisa.tensor_copy(d, x), ODD, ODD, False),
        (lambda d, x: nisa.activation(d, nl.copy, x), -ODD, 1 - ODD, True),
    ],
)
def test_notes_what_fp32_loses_and_nothing_else(trn2, body, value, result, is_noted):
    assert run(trn2, body, value) == ([result] * 8, ["NKI409"] * is_noted)


def test_a_reduction_of_small_integers_may_be_large(trn2):
    def reduce(dst, x):
        nisa.tensor_reduce(dst, nl.add, x, axis=1)

    assert run(trn2, reduce, 2**23, (4, 1)) == ([2**24] * 4, [])
    assert run(trn2, reduce, 2**23 + 1, (4, 1)) == ([2**24 + 2] * 4, ["NKI409"])


def test_a_kernel_line_has_one_note(trn2):
    def twice(dst, x):
        for _ in range(2):
            nisa.tensor_scalar(dst, x, nl.multiply, 3)

    assert run(trn2, twice, ODD)[1] == ["NKI409"]
