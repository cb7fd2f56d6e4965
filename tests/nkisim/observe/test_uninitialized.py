"""Reads of memory that nothing wrote: found once a line, with the tensor and the element."""

import pytest
from support.device import hbm, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import UninitializedRead


def fresh(shape=(8, 6), dtype="float32", buffer=nl.sbuf, **options):
    return nl.ndarray(shape, dtype, buffer=buffer, **options)


@pytest.mark.parametrize(
    "read",
    [
        lambda t: nisa.tensor_copy(tile((8, 6)), t),
        lambda t: nisa.tensor_tensor(tile((8, 6)), tile((8, 6)), t, nl.add),
        lambda t: nisa.tensor_scalar(tile((8, 6)), t, nl.multiply, 2.0),
        lambda t: nisa.tensor_scalar(tile((8, 6)), tile((8, 6)), nl.multiply, t[:, 1:2]),
        lambda t: nisa.activation(tile((8, 6)), nl.exp, t),
        lambda t: nisa.activation(tile((8, 6)), nl.exp, tile((8, 6)), bias=t[:, 0:1]),
        lambda t: nisa.tensor_reduce(tile((8, 1)), nl.add, t, 1),
        lambda t: nisa.dma_copy(hbm((8, 6)), t),
        lambda t: nisa.dma_compute(hbm((8, 6)), [tile((8, 6)), t], nl.add),
        lambda t: nisa.nc_transpose(tile((6, 8)), t),
        lambda t: nisa.nc_matmul(fresh((6, 6), buffer=nl.psum), t, tile((8, 6))),
        lambda t: nisa.nc_stream_shuffle(t, tile((8, 6)), [255] * 32),
        lambda t: nisa.tensor_copy_predicated(tile((8, 6)), t, tile((8, 6), "uint8")),
    ],
)
def test_every_operand_that_is_read_is_checked(trn2, refuses, read):
    trn2.attempt(lambda: read(tile((8, 6))))
    with refuses(UninitializedRead, "NKI401", "element (0, ", "was never written", "test_uninitialized.py:"):
        trn2.attempt(lambda: read(fresh()))


def test_the_message_has_the_allocation_and_the_element(trn2, refuses):
    def body(columns):
        t = fresh(name="scores")
        nisa.memset(t[:, 0:columns], 0)
        nisa.tensor_copy(tile((8, 6)), t)

    trn2.attempt(lambda: body(6))
    with refuses(
        UninitializedRead, "NKI401", "element (0, 4) of shape (8, 6) in the sbuf tensor 'scores' allocated at"
    ):
        trn2.attempt(lambda: body(4))


def test_reading_the_written_part_is_fine(trn2):
    def body():
        t = fresh()
        nisa.memset(t[:, 0:4], 0)
        nisa.tensor_copy(tile((8, 4)), t[:, 0:4])

    trn2.attempt(body)


def test_a_line_is_reported_once_for_each_tensor(trn2):
    def kernel():
        dst = tile((8, 6))
        for _ in range(4):
            nisa.tensor_copy(dst, fresh())
        nisa.tensor_copy(dst, fresh(name="second"))
        return store(dst)

    findings = trn2.run(kernel, report_only=True).findings
    assert [finding.code for finding in findings] == ["NKI401", "NKI401"]
    assert "'second'" in str(findings[1])
    assert "'second'" not in str(findings[0])


def test_writing_twice_or_partly_over_leftovers_is_fine(trn2):
    def body():
        t = fresh()
        nisa.memset(t, 1)
        nisa.memset(t[:, ::2], 2)
        nisa.tensor_copy(tile((8, 6)), t)

    trn2.attempt(body)


def test_what_the_other_core_sends_must_be_written_too(trn2, refuses):
    def body(written):
        src = tile((8, 6)) if written or nl.program_id() == 0 else fresh()
        other = 1 - nl.program_id()
        nisa.sendrecv(src, tile((8, 6)), other, other, 0)

    trn2.attempt(lambda: body(True), cores=2)
    with refuses(UninitializedRead, "NKI401", "element (0, 0)"):
        trn2.attempt(lambda: body(False), cores=2)


def test_a_register_loaded_from_nothing(trn2, refuses):
    def body(cell):
        nisa.register_load(nisa.register_alloc(), cell)

    trn2.attempt(lambda: body(tile((1, 1), "int32")))
    with refuses(UninitializedRead, "NKI401", "shape (1, 1)"):
        trn2.attempt(lambda: body(fresh((1, 1), "int32")))
