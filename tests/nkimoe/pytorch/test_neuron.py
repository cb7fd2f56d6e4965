"""On a Neuron device operators are registered, and kernels called, in the forms that torch-neuronx documents."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from support.layer_on_neuron import FORMATS, layer  # noqa: E402
from support.operations_on_neuron import calls  # noqa: E402
from support.wrap_nki import nki_op, wrap_nki  # noqa: E402

from nkimoe import ops  # noqa: E402
from nkimoe.pytorch import flat_kernels, flat_operations, moe_experts, options  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
TORCH_NEURONX, OF_VLLM = "torch_neuronx/__init__.py", "libtorch_neuronx_lite/nki/nki_hop.py"


@pytest.fixture(scope="module", params=[TORCH_NEURONX, OF_VLLM], ids=["torch-neuronx", "vllm-neuron"])
def run_on_neuron(request, tmp_path_factory):
    """What a module of `support` saves in a process whose runtime is a stand-in."""
    folder = tmp_path_factory.mktemp("runtime")
    module = folder / request.param
    module.parent.mkdir(parents=True)
    names = "nki_op, wrap_nki" if request.param == TORCH_NEURONX else "wrap_nki"
    module.write_text(f"from support.wrap_nki import {names}\n")
    paths = (str(folder), str(ROOT), str(ROOT / "simulate"), str(ROOT / "tests"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def run(program):
        command = [sys.executable, "-m", f"support.{program}", str(folder / "results.pt")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170, check=False)
        assert done.returncode == 0, done.stderr
        return torch.load(folder / "results.pt")

    return run


@pytest.fixture(scope="module")
def on_neuron(run_on_neuron):
    """(results, gradients) of a layer."""
    return run_on_neuron("layer_on_neuron")


@pytest.fixture(scope="module")
def operations(run_on_neuron):
    """Results of operations, by name."""
    return run_on_neuron("operations_on_neuron")


def same(found, expected):
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("cores", [1, 2])
def test_every_form_of_weights_gives_the_same_bits(on_neuron, form, cores):
    x, ids, weights, experts = layer()
    with torch.no_grad(), options(cores=cores, weights=form):
        expected = moe_experts(x, ids, weights, experts.prepare(torch.bfloat16, form, "trn2"))
    same(on_neuron[0][f"{form} on {cores}"], expected)


def test_pairs_loops_and_graphs_give_the_same_bits(on_neuron):
    x, ids, weights, experts = layer()
    with torch.no_grad():
        same(on_neuron[0]["pairs"], moe_experts(x, ids, weights, experts, is_complete=True))
        same(on_neuron[0]["compiled"], moe_experts(x, ids, weights, experts))
        with options(variant="shard_on_i_hybrid"):
            same(on_neuron[0]["loop"], moe_experts(x, ids, weights, experts))


def test_gradients_come_from_the_kernel_too(on_neuron):
    x, ids, weights, experts = layer()
    leaves = [x, weights, experts.gate_up, experts.down, *experts.biases]
    for leaf in leaves:
        leaf.requires_grad_()
    output = moe_experts(x, ids, weights, experts)
    expected = [output, *torch.autograd.grad(output.float().square().sum(), leaves)]
    for found, right in zip(on_neuron[1], expected, strict=bool(on_neuron[1])):  # vllm-neuron's runtime only infers
        same(found, right)


@pytest.mark.parametrize("name", calls())
def test_operations_give_the_bits_that_they_give_on_the_host(operations, name):
    operation, arguments, named = calls()[name]
    same(operations[name], getattr(ops, operation)[2](*arguments, **named))


def test_an_operation_is_one_node_of_a_graph(operations):
    same(operations["compiled"], operations["fused_moe"])


FLAT = (
    flat_kernels.flat_moe_cte, flat_kernels.flat_moe_cte_backward, flat_operations.flat_pair_experts,
    flat_operations.flat_single_expert, flat_operations.flat_grouped_gemm,
)  # fmt: skip


@pytest.mark.parametrize("kernel", FLAT)
def test_the_stand_in_refuses_what_is_not_flat(kernel):
    arguments = dict.fromkeys(inspect.signature(kernel).parameters)
    with pytest.raises(TypeError, match="block_size is a tensor or a plain value, got str"):
        wrap_nki(kernel)[2](**{**arguments, "block_size": "128"})


def test_the_stand_in_refuses_fp8_tensors():
    kernel = flat_kernels.flat_moe_cte
    arguments = dict.fromkeys(inspect.signature(kernel).parameters)
    arguments["gate_up_proj_weight"] = torch.zeros(2, 2).to(torch.float8_e4m3fn)
    with pytest.raises(AssertionError, match="Trn2 takes no"):
        wrap_nki(kernel)[2](**arguments)


def reads_values(x: torch.Tensor) -> torch.Tensor:
    return x * x.max().item()


def asks_for_shapes(x: torch.Tensor) -> torch.Tensor:
    return x * len(x)


def test_the_stand_in_refuses_an_operator_that_reads_values_where_a_graph_has_none():
    x = torch.ones(3)
    assert torch.equal(nki_op("stand_in::asks_for_shapes", asks_for_shapes)(x), 3 * x)
    with pytest.raises(RuntimeError, match="meta tensors"):
        nki_op("stand_in::reads_values", reads_values)(x)
