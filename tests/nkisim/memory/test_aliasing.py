"""Explicit addresses: tensors that overlap share bytes, and tensors that do not, do not."""

import numpy as np
import pytest
from support.device import random_values, store

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, PartitionError, PsumBankError, ShapeError, UninitializedRead


def sbuf(shape, dtype, address):
    return nl.ndarray(shape, dtype, buffer=nl.sbuf, address=address)


def test_tensors_at_one_address_share_their_bytes(trn2):
    data = random_values((32, 8))

    def kernel(array):
        first = sbuf((32, 8), nl.float32, (32, 256))
        nisa.dma_copy(first, array)
        return store(sbuf((32, 16), nl.uint16, (32, 256)))

    np.testing.assert_array_equal(trn2.outputs(kernel, data), data.view(np.uint16))


def test_a_tensor_at_a_later_byte_and_partition_sees_its_part(trn2):
    data = random_values((64, 8))

    def kernel(array):
        nisa.dma_copy(sbuf((64, 8), nl.float32, (0, 64)), array)
        return store(sbuf((32, 3), nl.float32, (32, 64 + 4 * 2)))

    np.testing.assert_array_equal(trn2.outputs(kernel, data), data[32:, 2:5])


def test_neighbours_do_not_touch_each_other(trn2):
    def kernel():
        left, right = sbuf((128, 4), nl.float32, (0, 0)), sbuf((128, 4), nl.float32, (0, 16))
        nisa.memset(left, 1)
        nisa.memset(right, 2)
        nisa.memset(left[:, 3:], 3)
        return store(left), store(right)

    left, right = trn2.outputs(kernel)
    np.testing.assert_array_equal(left, np.tile([1, 1, 1, 3], (128, 1)))
    np.testing.assert_array_equal(right, np.full((128, 4), 2))


def test_a_tensor_without_an_address_never_overlaps_one_with(trn2):
    def kernel():
        fixed, floating = sbuf((16, 4), nl.float32, (0, 0)), nl.zeros((16, 4), nl.float32)
        nisa.memset(fixed, 5)
        return store(floating)

    assert not trn2.outputs(kernel).any()


def test_the_shadow_follows_bytes_not_tensors(trn2, refuses):
    def kernel(written):
        whole = sbuf((16, 4), nl.float32, (0, 0))
        nisa.memset(sbuf((16, written), nl.float32, (0, 0)), 1)
        nisa.tensor_copy(whole, whole)

    trn2.run(kernel, 4)
    with refuses(UninitializedRead, "NKI401", "element (0, 3) of shape (16, 4)"):
        trn2.run(kernel, 3)


@pytest.mark.parametrize("address", [(0, -4), (-32, 0), (120, 0), (0, 212984)])
def test_refuses_an_address_outside_the_memory(trn2, refuses, address):
    trn2.attempt(lambda: sbuf((16, 4), nl.float32, (112, 212984 - 16)))
    with refuses(ShapeError, "NKI102", str(address)):
        trn2.attempt(lambda: sbuf((16, 4), nl.float32, address))


def test_refuses_an_address_in_hbm(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "shared_hbm at (0, 0)"):
        trn2.attempt(lambda: nl.ndarray((4, 4), nl.float32, buffer=nl.shared_hbm, address=(0, 0)))


def test_refuses_a_psum_tensor_that_straddles_a_bank(trn2, refuses):
    def body(byte, columns):
        nl.ndarray((128, columns), nl.float32, buffer=nl.psum, address=(0, byte))

    trn2.attempt(lambda: body(1024, 256))
    trn2.attempt(lambda: body(2048, 1024))
    with refuses(PsumBankError, "NKI203", "byte 1024, 1028 bytes"):
        trn2.attempt(lambda: body(1024, 257))


def test_refuses_an_instruction_at_a_partition_where_it_may_not_start(trn2, refuses):
    trn2.attempt(lambda: nisa.memset(sbuf((64, 4), nl.float32, (64, 0)), 0))
    with refuses(PartitionError, "NKI202", "dst starts at partition 32"):
        trn2.attempt(lambda: nisa.memset(sbuf((64, 4), nl.float32, (32, 0)), 0))
    with refuses(PartitionError, "NKI202", "dst starts at partition 33"):
        trn2.attempt(lambda: nisa.memset(sbuf((64, 4), nl.float32, (32, 0))[1:9], 0))


def test_refuses_an_instruction_on_more_than_128_partitions(trn2, refuses):
    def body(count):
        nisa.memset(nl.ndarray((128, 4), nl.int8).ap([[4, count], [1, 4]]), 0)

    trn2.attempt(lambda: body(128))
    with refuses(PartitionError, "NKI202", "200"):
        trn2.attempt(lambda: body(200))


@pytest.mark.parametrize(
    ("count", "legal"), [(1, (0, 32, 64, 96)), (32, (0, 32, 64, 96)), (33, (0, 64)), (64, (0, 64)), (65, (0,))]
)
def test_start_partitions_depend_on_the_number_of_partitions(trn2, refuses, count, legal):
    for start in range(0, 129 - count, 16):
        body = lambda start=start: nisa.memset(nl.ndarray((128, 2), nl.int8)[start : start + count], 1)  # noqa: E731
        if start in legal:
            trn2.attempt(body)
        else:
            with refuses(PartitionError, "NKI202", f"partition {start}"):
                trn2.attempt(body)
