"""Names of tensors and instructions: unique in a kernel, and the same on both cores."""

import gc
from collections import Counter
from contextvars import copy_context

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np
import pytest
from support.case import Case
from support.gradients import backward_arguments
from support.inputs import build_inputs
from support.launch import run

import nkimoe
from nkimoe import MoECTEImplementation, moe_cte, moe_cte_backward
from nkimoe.kernels.shared_tensors import unique_name
from nkimoe.routing import RoutingRule, on_device
from nkisim import Simulator
from nkisim.observe import Observer


class InstructionNames(Observer):
    def __init__(self):
        self.seen = []

    def on_instruction(self, event):
        self.seen += [] if event.name is None else [event.name]
        return []


@pytest.fixture
def tensor_names(monkeypatch):
    """Of each core, the names of its tensors; of shared ones that have none, None."""
    names = {0: [], 1: []}
    make = nl.ndarray

    def recording(*args, **kwargs):
        if kwargs.get("name") or kwargs.get("buffer") is nl.shared_hbm:
            names[nl.program_id(0)].append(kwargs.get("name"))
        return make(*args, **kwargs)

    monkeypatch.setattr(nl, "ndarray", recording)
    return names


def are_unique(names):
    return None not in names and max(Counter(names).values(), default=1) == 1


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("variant", [member.name for member in MoECTEImplementation])
def test_tensors_of_a_layer_have_names_of_their_own_and_instructions_none(variant, cores, tensor_names):
    case = Case(variant=variant, T=200, B=256, cores=cores)
    if case.is_mx:
        case = Case(variant=variant, T=200, H=512, I=384, cores=cores, target="trn3", weights="mxfp4")
    instructions = InstructionNames()
    run(case, observers=[instructions])
    assert tensor_names[0]
    assert are_unique(tensor_names[0])
    assert cores == 1 or tensor_names[0] == tensor_names[1]
    assert instructions.seen == []


def test_gradients_have_names_of_their_own(tensor_names):
    case = Case(T=200, H=256, I=192, cores=2)
    Simulator(case.target, lnc=2).run(moe_cte_backward, **backward_arguments(case))
    assert are_unique(tensor_names[0])
    assert tensor_names[0] == tensor_names[1]


@nki.jit
def twice(layer, options):
    """The layer for the layer's own output, through one kernel."""
    with nkimoe.name_scope("twice"):
        first = moe_cte(**layer, **options)
        if nl.num_programs(0) > 1:
            nisa.core_barrier(data=first, cores=(0, 1))
        return moe_cte(**{**layer, "hidden_states": first}, **options)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_kernel_may_call_a_layer_twice(cores, tensor_names):
    case = Case(T=200, cores=cores)
    layer = build_inputs(case)
    once = run(case, layer).output
    expected = run(case, {**layer, "hidden_states": once}).output
    for names in tensor_names.values():
        names.clear()
    output = Simulator(case.target, cores).run(twice, layer, case.options()).outputs
    np.testing.assert_array_equal(output, expected)
    assert are_unique(tensor_names[0])
    assert cores == 1 or tensor_names[0] == tensor_names[1]


@nki.jit
def routed_twice(logits, few, many):
    with nkimoe.name_scope("routers"):
        return (*on_device.route(logits, few), *on_device.route(logits, many))


def test_each_call_in_a_scope_has_names_of_its_own(tensor_names):
    logits = np.random.default_rng(0).standard_normal((10, 8), dtype=np.float32)
    routed_twice[2](logits, RoutingRule(1), RoutingRule(2))
    assert tensor_names[0] == tensor_names[1]
    assert tensor_names[0] == [
        "routers__route__weights", "routers__route__ids", "routers__route_2__weights", "routers__route_2__ids",
    ]  # fmt: skip


def test_tracing_a_kernel_again_gives_the_same_names(tensor_names):
    logits = np.random.default_rng(0).standard_normal((10, 8), dtype=np.float32)
    for _ in range(2):
        on_device.route[1](logits, RoutingRule(2))
    assert tensor_names[0] == ["route__weights", "route__ids"] * 2


def test_a_number_is_not_given_that_is_a_name_already():
    with nkimoe.name_scope("outer"):
        names = [nkimoe.kernels.shared_tensors.unique_name(name) for name in ("x", "x_2", "x")]
    assert names == ["outer__x", "outer__x_2", "outer__x_3"]


def test_a_scope_that_an_interrupt_left_open_ends_without_a_word(capsys):
    """Of a generator, closed in another context than it was opened in, Python would print "Exception ignored in"."""
    copy_context().run(lambda: nkimoe.name_scope("left").__enter__())
    gc.collect()
    assert capsys.readouterr().err == ""
    with nkimoe.name_scope("outer"):
        assert unique_name("x") == "outer__x"
    assert unique_name("x") == "x"
