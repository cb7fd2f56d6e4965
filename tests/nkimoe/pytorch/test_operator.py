"""The operator under torch's own checks: fake kernel, autograd, compile, export."""

import pytest

torch = pytest.importorskip("torch")

from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.pytorch import (  # noqa: E402
    Gate,
    expert_outputs,
    moe_experts,
    operator,
    options,
)
from nkimoe.pytorch.backward import moe_cte_backward_operator  # noqa: E402
from nkimoe.pytorch.call import Call  # noqa: E402
from nkimoe.pytorch.mapping import build_blocks, scatter_weights  # noqa: E402
from nkimoe.pytorch.operator import moe_cte_operator  # noqa: E402
from nkimoe.pytorch.options import Options  # noqa: E402

from .layers import definition, silu, tokens, weights  # noqa: E402

LIMIT = 0.75
BELOW = LIMIT * (1 - 2**-20)  # a value that is kept as the limit has no gradient; torch's clamp gives it one


def gpt_oss(first):
    kept = first + (first.bfloat16().float() - first).detach()  # the backward pass starts from these
    gate, up = kept[..., 0, :].clamp(max=BELOW), kept[..., 1, :].clamp(-BELOW, BELOW)
    return gate * torch.sigmoid(1.702 * gate) * (up + 1)


GATES = {
    "silu": (Gate(), silu),
    "gpt-oss": (Gate("Swish", gate_upper=LIMIT, up_upper=LIMIT, up_lower=-LIMIT, up_offset=1.0), gpt_oss),
    "up only": (Gate("SquaredReLU", has_gate=False), lambda first: first[..., 1, :].relu().square()),
    "gelu": (Gate("GELU"), lambda first: torch.nn.functional.gelu(first[..., 0, :]) * first[..., 1, :]),
}


def run(x, ids, routing, experts, gate):
    return moe_experts(x, ids, routing, experts.prepare(torch.bfloat16, "plain", "trn2"), gate)


def close(actual, expected, bound=2e-2):
    error = (actual - expected).norm() / expected.norm()
    assert error <= bound, f"relative L2 {error:.1e}"


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i"])
def test_output_and_every_gradient_are_those_of_the_definition(gate, bias, variant):
    ours, act = GATES[gate]
    experts, (x, ids, routing) = weights(bias=bias), tokens()
    ids[2, 1] = 17  # an expert of another rank
    leaves = [x, routing, experts.gate_up, experts.down, *experts.biases]
    expected = definition(x, ids, routing, experts, act)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2)).bfloat16().float()
    expected_grads = torch.autograd.grad(expected, leaves, direction)
    with options(variant=variant):
        actual = run(x, ids, routing, experts, ours)
    actual_grads = torch.autograd.grad(actual, leaves, direction)
    close(actual, expected)
    for grad, expected_grad in zip(actual_grads, expected_grads, strict=True):
        assert expected_grad.norm() > 0
        close(grad, expected_grad)
    assert actual_grads[1][2, 1] == 0


def test_a_gradient_is_the_slope_of_the_kernel_itself():
    """Finite differences of the simulated kernel along one direction, bf16 rounding and all."""
    experts, (x, ids, routing) = weights(), tokens()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))

    def loss(step):
        return run(x + step * direction, ids, routing, experts, Gate()).square().sum()

    with torch.no_grad():
        slope = (loss(0.1) - loss(-0.1)) / 0.2
    (grad,) = torch.autograd.grad(loss(0.0), x)
    torch.testing.assert_close((grad * direction).sum(), slope, rtol=0.1, atol=0)


def arguments():
    experts, (x, ids, routing) = weights(H=128, bias=True), tokens(H=128)
    experts = experts.prepare(torch.bfloat16, "plain", "trn2")
    call = Call(Options(block_size=128), Gate(), True, keeps=True)
    column = scatter_weights(ids, routing, 4)
    tensors = [t.detach().bfloat16().requires_grad_() for t in (x, column, experts.gate_up, experts.down)]
    biases = [b.detach().requires_grad_() for b in experts.biases]
    return (*tensors, biases, [], [*build_blocks(ids, 4, 128)], call.to_text())


def test_torch_finds_the_operator_well_formed():
    torch.library.opcheck(moe_cte_operator, arguments(), atol=1e-2, rtol=1e-2)


def test_torch_finds_the_backward_operator_well_formed():
    x, column, gate_up, down, biases, _, blocks, call = arguments()
    _, activations = moe_cte_operator(x, column, gate_up, down, biases, [], blocks, call)
    detached = [t.detach() for t in (torch.ones_like(x), x, column)]
    weights_ = [t.detach() for t in (gate_up, down, *biases)]
    given = (*detached, weights_, blocks[:2], activations.detach(), call)
    torch.library.opcheck(moe_cte_backward_operator, given, test_utils=("test_schema", "test_faketensor"))


def test_activations_are_kept_only_where_autograd_follows(monkeypatch):
    kept, launch = [], operator.launch_moe_cte

    def watched(call, given):
        kept.append(call.keeps)
        return launch(call, given)

    monkeypatch.setattr(operator, "launch_moe_cte", watched)
    experts, (x, ids, routing) = weights(), tokens()
    run(x, ids, routing, experts, Gate())
    with torch.no_grad():
        result = run(x, ids, routing, experts, Gate())
    run(*(t.detach() for t in (x, ids, routing)), type(experts)(experts.gate_up.detach(), experts.down), Gate())
    assert kept == [True, False, True]
    assert not result.requires_grad


def test_a_compiled_layer_is_one_graph_and_computes_and_trains_the_same():
    experts, (x, ids, routing) = weights(), tokens()
    plain = run(x, ids, routing, experts, Gate())
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)(x, ids, routing, experts, Gate())
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close(
        torch.autograd.grad(compiled.sum(), x), torch.autograd.grad(plain.sum(), x), rtol=1e-2, atol=1e-3
    )


class Layer(torch.nn.Module):
    def forward(self, x, ids, routing, gate_up, down):
        experts = type(weights())(gate_up, down).prepare(torch.bfloat16, "plain", "trn2")
        return moe_experts(x, ids, routing, experts)


def test_an_exported_layer_holds_the_operator():
    experts, inputs = weights(), tokens()
    given = tuple(t.detach() for t in (*inputs, experts.gate_up, experts.down))
    exported = torch.export.export(Layer(), given)
    assert any("nkimoe.moe_cte" in str(node.target) for node in exported.graph.nodes)
    torch.testing.assert_close(exported.module()(*given), Layer()(*given))


def test_outputs_of_single_experts_add_up_to_the_layer():
    experts, (x, ids, routing) = weights(bias=True), tokens()
    prepared = experts.prepare(torch.bfloat16, "plain", "trn2")
    outputs = expert_outputs(x, ids, prepared)
    close((outputs * routing[..., None]).sum(1), definition(x, ids, routing, experts, silu))


def test_quantised_weights_are_not_trained():
    experts, (x, ids, routing) = weights(), tokens()
    with pytest.raises(RequestError, match="'plain' when weights are trained"):
        experts.prepare(torch.bfloat16, "fp8-row", "trn2")
    with torch.no_grad():
        quantised = experts.prepare(torch.bfloat16, "fp8-row", "trn2")
    with options(weights="fp8-row"), pytest.raises(RequestError, match="'plain' when training"):
        moe_experts(x, ids, routing, quantised).sum().backward()
