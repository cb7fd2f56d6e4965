"""Declared shapes, options of the compiler, and collectives of one rank."""

import numpy as np
import pytest
from support.device import hbm, random_values, tile

import nkisim.nki as nki
import nkisim.nki.collectives as collectives
import nkisim.nki.language as nl
import nkisim.nki.typing as nt
from nkisim.errors import ArgumentError, DtypeError, NotSimulated, ShapeError
from nkisim.nki.collectives import ReplicaGroup
from nkisim.nki.compiler import AddressRotation, CompileConfig, SpecializationConfig

FREE = "F"  # any size
ALONE = ReplicaGroup([[0]])


@nki.jit
def declared(x: nt.tensor[3, FREE], y: nt.tensor = None):
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    nl.store(out, nl.load(x))
    return out


def test_a_declared_shape_holds():
    np.testing.assert_array_equal(declared(np.ones((3, 5), np.float32)), 1)


@pytest.mark.parametrize("shape", [(4, 5), (3, 5, 1), (3,)])
def test_refuses_a_tensor_of_another_shape(shape):
    with pytest.raises(ShapeError, match=r"argument x is nki\.typing\.tensor\[3, 'F'\]"):
        declared(np.ones(shape, np.float32))


def test_an_annotation_that_cannot_be_evaluated_is_left_alone():
    def kernel(x: "Nowhere"):  # noqa: F821
        return nl.num_programs()

    assert nki.jit(kernel)(1) == 1


def test_a_type_makes_no_tensors():
    with pytest.raises(TypeError, match="ndarray"):
        nt.mutable_tensor((2, 3))


@pytest.mark.parametrize(
    "options",
    [
        {"compile_config": CompileConfig()},
        {"compile_config": CompileConfig(barrier_check=True, address_rotation=AddressRotation.AUTO)},
        {"compile_config": CompileConfig(nki_alloc_fallback=False, prefetch_auto=False)},
        {"specialization_config": SpecializationConfig(allow_nested_config_override=False)},
    ],
)
def test_options_that_ask_for_what_nkisim_does_are_accepted(options):
    assert nki.jit(**options)(nl.num_programs)() == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"compile_config": CompileConfig(prefetch_auto=True)}, "prefetch_auto=True"),
        ({"compile_config": CompileConfig(dead_code_elim=True)}, "dead_code_elim"),
        ({"compile_config": CompileConfig(non_ssa_legalization=True)}, "non_ssa_legalization"),
        ({"compile_config": CompileConfig(nki_alloc_fallback=True)}, "nki_alloc_fallback"),
        ({"compile_config": CompileConfig(address_rotation=AddressRotation.ENABLE)}, "address_rotation"),
        ({"specialization_config": SpecializationConfig(allow_nested_config_override=True)}, "allow_nested"),
        ({"compile_config": SpecializationConfig()}, "SpecializationConfig"),
        ({"specialization_config": {"allow_nested_config_override": False}}, "allow_nested"),
    ],
)
def test_refuses_options_without_effect(refuses, options, named):
    with refuses(ArgumentError, "NKI101", named):
        nki.jit(**options)


@pytest.mark.parametrize(
    "collective",
    [
        lambda s, d, g: collectives.all_reduce([s], [d], g, nl.add),
        lambda s, d, g: collectives.all_gather([s], [d], g, 0),
        lambda s, d, g: collectives.reduce_scatter([s], [d], g, 0, nl.maximum),
        lambda s, d, g: collectives.all_to_all([s], [d], g, 0),
    ],
)
def test_a_collective_of_one_rank_copies(trn2, refuses, collective):
    def kernel(x):
        out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
        collective(x, out, ALONE)
        assert collectives.rank_id().read() == 0
        return out

    x = random_values((5, 7))
    np.testing.assert_array_equal(trn2.outputs(kernel, x), x)
    with refuses(NotSimulated, "NKI001", "[[0, 1]]"):
        trn2.attempt(lambda: collective(hbm((2, 2)), hbm((2, 2)), ReplicaGroup([[0, 1]])))
    with refuses(ShapeError, "NKI102"):
        trn2.attempt(lambda: collective(hbm((2, 2)), hbm((2, 3)), ALONE))
    with refuses(ArgumentError, "NKI101"):
        trn2.attempt(lambda: collective(hbm((2, 2)), tile((2, 2)), ALONE))
    with refuses(ArgumentError, "NKI101"):
        trn2.attempt(lambda: collective(hbm((2, 2)), hbm((2, 2)), [[0]]))


def test_refuses_other_reductions_dimensions_types_and_groups(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "nl.multiply"):
        trn2.attempt(lambda: collectives.all_reduce([], [], ALONE, nl.multiply))
    with refuses(ArgumentError, "NKI101", "1"):
        trn2.attempt(lambda: collectives.all_gather([hbm((2, 2))], [hbm((2, 2))], ALONE, 1))
    with refuses(DtypeError, "NKI103"):
        trn2.attempt(lambda: collectives.all_gather([hbm((2, 2), "int32")], [hbm((2, 2))], ALONE, 0))
    for groups in ([], [[0, 1], [1, 2]]):
        with refuses(ArgumentError, "NKI101"):
            ReplicaGroup(groups)
