"""Names of tensors and instructions: one namespace a kernel, as each core traces it."""

import numpy as np
import pytest
from support.device import store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DuplicateName


def test_two_tensors_have_different_names(trn2, refuses):
    def body(second):
        nl.ndarray((8, 4), nl.float32, name="rows")
        nl.ndarray((8, 4), nl.float32, buffer=nl.psum, name=second)

    trn2.attempt(lambda: body("columns"))
    with refuses(DuplicateName, "NKI108", "tensor 'rows'", "test_names.py"):
        trn2.attempt(lambda: body("rows"))


def test_two_instructions_have_different_names(trn2, refuses):
    def body(names):
        for name in names:
            nisa.memset(tile((8, 4)), 1.0, name=name)

    trn2.attempt(lambda: body(["first", "second", None, None]))
    with refuses(DuplicateName, "NKI108", "memset 'first', the name of the memset at"):
        trn2.attempt(lambda: body(["first", "first"]))


def test_an_instruction_has_no_name_of_a_tensor(trn2, refuses):
    def body(name):
        total = nl.ndarray((8, 4), nl.float32, name="total")
        nisa.memset(total, 0.0, name=name)

    trn2.attempt(lambda: body("clear total"))
    with refuses(DuplicateName, "NKI108", "memset 'total', the name of the tensor at"):
        trn2.attempt(lambda: body("total"))


def test_tensors_without_a_name_are_many(trn2):
    trn2.attempt(lambda: [nl.ndarray((8, 4), nl.float32, name="") for _ in range(3)])


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_a_name_in_the_body_of_a_device_loop_counts_once(trn2, iterations):
    def kernel():
        def inner(_):
            nisa.memset(nl.ndarray((1, 1), nl.int32, name="cell"), 1, name="set cell")

        nl.fori_loop(0, iterations, lambda _: nl.fori_loop(0, 2, inner))

    trn2.attempt(kernel)


def test_a_name_of_a_loop_body_is_taken_after_it(trn2, refuses):
    def body(name):
        nl.fori_loop(0, 2, lambda _: nisa.memset(tile((1, 1)), 1, name="set"))
        nisa.memset(tile((1, 1)), 1, name=name)

    trn2.attempt(lambda: body("set again"))
    with refuses(DuplicateName, "NKI108", "memset 'set'"):
        trn2.attempt(lambda: body("set"))


def test_each_core_has_its_own_trace_and_names(trn2):
    def kernel():
        shared = nl.ndarray((1, 4), nl.float32, buffer=nl.shared_hbm, name="shared")
        if nl.program_id(0) == 0:
            nisa.dma_copy(shared, tile((1, 4)), name="store")
        nisa.core_barrier(shared, (0, 1), name="meet")
        return shared

    assert not trn2.outputs(kernel, cores=2).any()


def test_collected_duplicates_are_listed_once_a_line(trn2):
    def kernel():
        for _ in range(3):
            nisa.memset(tile((8, 4)), 0.0, name="clear")
        return store(tile((1, 1)))

    run = trn2.run(kernel, report_only=True)
    assert [finding.code for finding in run.findings] == ["NKI108"]
    np.testing.assert_array_equal(run.outputs, np.zeros((1, 1), np.float32))
