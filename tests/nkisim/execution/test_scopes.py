"""Tensors of the body of a device loop: a trace sees the body once, so nothing outside an iteration can mean them."""

import numpy as np
import pytest
from support.device import hbm, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import LoopError
from nkisim.execution.scopes import Scopes


def copies(iterations, last):
    """Kernel that copies blocks through tiles of the body, and afterwards what `last` picks of kept and older tiles."""

    def kernel(x):
        before, out, kept = tile((8, 4)), hbm(x.shape, buffer=nl.shared_hbm), []

        def body(i):
            made = nl.ndarray((8, 4), nl.float32)
            nisa.dma_copy(made, x.select(0, i))
            nisa.dma_copy(out.select(0, i), made)
            kept.append(made)

        nl.fori_loop(0, iterations, body)
        nisa.dma_copy(out.select(0, 0), last(kept, before))
        return out

    return kernel


BLOCKS = np.ones((3, 8, 4), np.float32)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("which", [0, -1])
def test_a_tile_of_a_loop_body_is_not_used_after_the_loop(trn2, refuses, iterations, which):
    trn2.run(copies(iterations, lambda kept, before: before), BLOCKS)
    with refuses(LoopError, "NKI302", "dma_copy uses the sbuf tensor", "afterwards"):
        trn2.run(copies(iterations, lambda kept, before: kept[which]), BLOCKS)


def test_nor_is_one_of_a_loop_that_runs_zero_times(trn2, refuses):
    with refuses(LoopError, "NKI302", "afterwards"):
        trn2.run(copies(0, lambda kept, before: kept[0]), BLOCKS)


def test_nor_a_view_of_one(trn2, refuses):
    with refuses(LoopError, "NKI302", "afterwards"):
        trn2.run(copies(2, lambda kept, before: kept[0].reshape((8, 2, 2)).flatten_dims(1, 2)), BLOCKS)


def test_a_tile_of_an_outer_body_is_used_after_an_inner_loop(trn2):
    def kernel():
        total = tile((1, 4), "int32")

        def outer(_):
            mine = tile((1, 4), "int32")
            nl.fori_loop(0, 2, lambda _: nisa.tensor_tensor(mine, mine, tile((1, 4), "int32"), nl.add))
            nisa.tensor_tensor(total, total, mine, nl.add)

        nl.fori_loop(0, 3, outer)
        return store(total)

    trn2.outputs(kernel)


def test_a_tile_of_an_inner_body_is_not_used_in_the_outer_one(trn2, refuses):
    def kernel():
        def outer(_):
            kept = []
            nl.fori_loop(0, 2, lambda _: kept.append(tile((1, 4))))
            nisa.memset(kept[0], 0.0)

        nl.fori_loop(0, 2, outer)

    with refuses(LoopError, "NKI302", "memset uses"):
        trn2.attempt(kernel)


def test_an_index_made_in_a_loop_body_is_not_used_after_the_loop(trn2, refuses):
    def kernel(x, outlives):
        kept = [tile((1, 1), "int32")]
        nl.fori_loop(0, 2, lambda _: kept.append(tile((1, 1), "int32")))
        row = x.ap([[4, 1], [1, 4]], scalar_offset=kept[0 if outlives else 1])
        return store(nl.load(row))

    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    trn2.run(kernel, x, True)
    with refuses(LoopError, "NKI302", "afterwards"):
        trn2.run(kernel, x, False)


def test_shared_tensors_count_from_when_their_own_core_made_them(trn2):
    def kernel():
        flag = nl.ndarray((1, 1), nl.float32, buffer=nl.shared_hbm)

        def body(_):
            nisa.core_barrier(flag, (0, 1))

        nl.fori_loop(0, 2, body)
        later = nl.ndarray((1, 4), nl.float32, buffer=nl.shared_hbm)
        if nl.program_id(0) == 1:
            nisa.dma_copy(later, tile((1, 4)))
        return later

    trn2.run(kernel, cores=2)


def test_what_ends_includes_what_ended_within_it():
    scopes = Scopes()
    assert not scopes.any_over
    scopes.end(3, 5)
    scopes.end(6, 7)
    assert [age for age in range(12) if scopes.is_over(age)] == [3, 4, 6]
    scopes.end(6, 9)
    scopes.end(10, 11)
    assert [age for age in range(12) if scopes.is_over(age)] == [3, 4, 6, 7, 8, 10]
    scopes.end(2, 12)
    assert [age for age in range(14) if scopes.is_over(age)] == [*range(2, 12)]
