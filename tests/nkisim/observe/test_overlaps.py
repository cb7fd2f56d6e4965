"""Tensors that overlap by their addresses: reuse is fine, mixing is not."""

import pytest
from support.device import random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import OverlapError


def at(byte, columns=8, partition=0, rows=32, dtype=nl.float32, name="", buffer=nl.sbuf):
    return nl.ndarray((rows, columns), dtype, buffer=buffer, name=name, address=(partition, byte))


def fill(tensor):
    nisa.memset(tensor, 1)


def store(tensor):
    result = nl.ndarray(tensor.shape, tensor.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(result, tensor)
    return result


def test_finds_a_read_of_a_tensor_after_a_later_one_took_its_place(trn2, refuses):
    def body(byte):
        old, new = at(0, name="old"), at(byte, name="new")
        fill(old)
        fill(new)
        store(new)
        store(old)

    trn2.attempt(lambda: body(32))
    with refuses(OverlapError, "NKI405", "dma_copy reads", "'old'", "memset at", "'new'"):
        trn2.attempt(lambda: body(28))


def test_finds_a_read_of_what_an_earlier_tensor_left(trn2, refuses):
    def body(written):
        old = at(0, name="old")
        fill(old)
        store(old)
        new = at(0, name="new")
        fill(new[:, 0:written])
        store(new)

    trn2.attempt(lambda: body(8))
    with refuses(OverlapError, "NKI405", "'new'", "'old'"):
        trn2.attempt(lambda: body(7))


def test_accepts_a_stack_whose_memory_is_used_again_and_again(trn2):
    def body():
        for _ in range(3):
            outer = at(0, 16)
            fill(outer)
            for _ in range(2):
                inner = at(64, 8)
                nisa.tensor_copy(inner, outer[:, 0:8])
                nisa.tensor_copy(outer[:, 8:16], inner)
            store(outer)

    trn2.attempt(body)


def test_accepts_tensors_created_together_and_used_one_after_the_other(trn2):
    def body():
        tensors = [at(0, 8), at(16, 8), at(0, 2, dtype=nl.bfloat16)]
        for tensor in tensors:
            fill(tensor)
            store(tensor)

    trn2.attempt(body)


def test_accepts_a_tensor_that_is_written_again_after_it_was_overwritten(trn2):
    def body():
        first, second = at(0), at(0)
        for tensor in (first, second, first, second):
            fill(tensor)
            store(tensor)

    trn2.attempt(body)


def test_accepts_a_view_that_nothing_was_written_through(trn2):
    def body():
        fill(at(0, 8))
        store(at(0, 16, dtype=nl.bfloat16))
        store(at(16, 2))

    trn2.attempt(body)


@pytest.mark.parametrize(("partition", "byte"), [(32, 0), (0, 32)])
def test_accepts_neighbours(trn2, partition, byte):
    def body():
        tensors = [at(0), at(byte, partition=partition)]
        for tensor in tensors:
            fill(tensor)
        for tensor in tensors:
            store(tensor)

    trn2.attempt(body)


def test_keeps_the_memories_and_the_cores_apart(trn2):
    def body():
        tensors = [at(0), at(0, buffer=nl.psum)]
        for tensor in tensors:
            fill(tensor)
        for tensor in tensors:
            nisa.tensor_copy(tile((32, 8)), tensor)

    trn2.attempt(body, cores=2)


def test_finds_it_when_only_some_partitions_overlap(trn2, refuses):
    def body(partition):
        old, new = at(0, rows=64), at(0, partition=partition)
        fill(old)
        fill(new)
        store(old)

    trn2.attempt(lambda: body(64))
    with refuses(OverlapError, "NKI405", "(32, 0)"):
        trn2.attempt(lambda: body(32))


def test_a_partial_update_of_a_reused_tensor_sees_its_own_values_only(trn2, refuses):
    data = random_values((32, 8))

    def kernel(array, clear):
        old, new = at(0), at(0)
        nisa.dma_copy(old, array)
        store(old)
        if clear:
            fill(new)
        else:
            fill(new[:, 0:1])
        nisa.tensor_tensor(new, new, new, nl.add)
        return store(new)

    trn2.run(kernel, data, True)
    with refuses(OverlapError, "NKI405", "tensor_tensor reads"):
        trn2.run(kernel, data, False)
