"""The layer as a module: alone against its definition, spread over processes against itself alone."""

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from nkimoe.pytorch import LayerSizes, MoE, Ranks, route  # noqa: E402
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


def spread(layout, ranks):
    command = [sys.executable, str(SPREAD), layout, str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count(" rank ") == ranks


@pytest.mark.parametrize(("layout", "ranks"), [("ep", 4), ("tp-ep", 4)])
def test_a_layer_spread_over_processes_gives_outputs_and_gradients_of_one(layout, ranks):
    spread(layout, ranks)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "ranks"), [("tp", 2), ("ep", 2), ("ep", 8)])
def test_tensor_parallelism_alone_and_more_ranks_than_experts(layout, ranks):
    spread(layout, ranks)
