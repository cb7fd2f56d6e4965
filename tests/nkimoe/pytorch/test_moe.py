"""The layer as a module: alone against its definition, spread over processes against itself alone."""

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from nkimoe.pytorch import LayerSizes, MoE, Ranks, Travel, route  # noqa: E402
from nkimoe.routing import RoutingRule, Score  # noqa: E402

from .layers import definition, silu, weights  # noqa: E402

SPREAD = Path(__file__).with_name("spread_layer.py")


def test_a_layer_routes_and_computes_as_defined():
    torch.manual_seed(0)
    rule = RoutingRule(2, Score.SIGMOID)
    layer, experts = MoE(LayerSizes(H=40, I=24, E=4), rule, has_bias=True), weights(bias=True)
    layer.load_whole(torch.randn(4, 40), experts)
    x = torch.randn(2, 5, 40).bfloat16().float()
    routing, ids = route(x.reshape(10, 40) @ layer.router.T, rule)
    expected = definition(x.reshape(10, 40), ids, routing, experts, silu).reshape(2, 5, 40)
    actual = layer(x)
    assert (actual - expected).norm() < 2e-2 * expected.norm()
    actual.sum().backward()
    assert all(parameter.grad.norm() > 0 for parameter in layer.parameters())


def test_no_tokens():
    assert MoE(LayerSizes(40, 24, 4), RoutingRule(2))(torch.zeros(0, 40)).shape == (0, 40)


def test_experts_are_shared_out_evenly_and_some_ranks_may_have_none(monkeypatch):
    monkeypatch.setattr(Ranks, "ep_size", 4)
    assert Ranks().first_expert(6) == [0, 2, 4, 5, 6]
    assert Ranks().first_expert(2) == [0, 1, 2, 2, 2]


def spread(layout, ranks, travel):
    command = [sys.executable, str(SPREAD), layout, str(ranks), travel]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count(" rank ") == ranks


@pytest.mark.parametrize("travel", ["selected", "all"])
@pytest.mark.parametrize(("layout", "ranks"), [("ep", 4), ("tp-ep", 4)])
def test_a_layer_spread_over_processes_gives_outputs_and_gradients_of_one(layout, ranks, travel):
    spread(layout, ranks, travel)


@pytest.mark.slow
@pytest.mark.parametrize("travel", ["selected", "all"])
@pytest.mark.parametrize(("layout", "ranks"), [("tp", 2), ("ep", 2), ("ep", 8)])
def test_tensor_parallelism_alone_and_more_ranks_than_experts(layout, ranks, travel):
    spread(layout, ranks, travel)


@pytest.fixture
def one_of_four():
    """Groups whose collectives exchange nothing: this process is rank 1 of 4."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", rank=1, world_size=4, store=FakeStore())
    yield torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()


LAYER = (LayerSizes(H=40, I=24, E=6), RoutingRule(2))
READS_A_VALUE = ("_local_scalar_dense", "nonzero", "aten.item")


def test_a_layer_alone_exports_as_a_graph_that_reads_no_values():
    layer, x = MoE(*LAYER), torch.randn(5, 40)
    exported = torch.export.export(layer, (x,))
    operations = [str(node.target) for node in exported.graph.nodes]
    assert sum("nkimoe.moe_cte" in name for name in operations) == 1
    assert not [name for name in operations for word in READS_A_VALUE if word in name]
    torch.testing.assert_close(exported.module()(x), layer(x))


@pytest.mark.parametrize("tp", [False, True])
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by torch itself
def test_a_layer_whose_tokens_all_travel_is_one_graph_forward_and_backward(one_of_four, tp):
    layer = MoE(*LAYER, ranks=Ranks(ep=one_of_four, tp=one_of_four if tp else None, travel=Travel.ALL))
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    graphs = []

    def keep(graph, inputs):
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=keep, bw_compiler=keep)
    output = torch.compile(layer, fullgraph=True, backend=backend)(torch.randn(5, 40))
    output.sum().backward()
    assert output.shape == (5, 40)
    assert layer.gate_up.grad is not None
    for graph, reverse in zip(graphs, (False, True), strict=True):
        wanted = ("all_gather", "moe_cte", "reduce_scatter")
        order = [word for name in graph for word in wanted if word in name and "wait" not in name]
        assert set(order) == set(wanted)
        assert not [name for name in graph for word in READS_A_VALUE if word in name]
        assert reverse or order[-1] == "reduce_scatter"


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_selected_tokens_cannot_be_one_graph(one_of_four):
    layer = MoE(*LAYER, ranks=Ranks(ep=one_of_four))
    with pytest.raises(Exception, match=r"(?i)data.dependent|tolist|item|nonzero"):
        torch.compile(layer, fullgraph=True, backend="eager")(torch.randn(5, 40))
