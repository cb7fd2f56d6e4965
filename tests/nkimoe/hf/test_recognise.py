"""Gates are recognised by what they compute; what is nearly one of ours is refused."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.hf.forward import experts_forward  # noqa: E402
from nkimoe.hf.recognise import recognise_gate  # noqa: E402
from nkimoe.pytorch import Gate  # noqa: E402

from .experts import clamped_gate, experts, tokens  # noqa: E402


@pytest.mark.parametrize(
    ("act", "name"),
    [("silu", "SiLU"), ("gelu", "GELU"), ("gelu_pytorch_tanh", "GELU_Tanh_Approx"), ("quick_gelu", "Swish"),
     ("relu", "ReLU"), ("relu2", "SquaredReLU")],
)  # fmt: skip
@pytest.mark.parametrize("has_gate", [True, False])
def test_activations_by_value(act, name, has_gate):
    assert recognise_gate(experts(act, has_gate=has_gate)) == Gate(name, has_gate=has_gate)


@pytest.mark.parametrize("limit", [0.0, 0.5, 7.0, 10.0])
def test_limits_and_offset_of_gpt_oss(limit):
    module = experts(gate=clamped_gate, limit=limit, is_concatenated=False)
    found = recognise_gate(module)
    if limit:
        assert found == Gate("Swish", gate_upper=limit, up_upper=limit, up_lower=-limit, up_offset=1.0)
    assert (found.gate_upper, found.up_upper, found.up_lower, found.up_offset) == (limit, limit, -limit, 1.0)


def deepseek_v4(self, gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate.clamp(max=self.limit)) * up.clamp(-self.limit, self.limit)


def up_alone_is_clamped(self, gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up.clamp(-self.limit, self.limit)


def clamped_after_the_activation(self, gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate).clamp(max=self.limit) * up.clamp(-self.limit, self.limit)


def another_alpha(self, gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return gate * torch.sigmoid(1.6 * gate) * up


def columns_the_other_way_round(self, gate_up):
    up, gate = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up


def columns_that_the_flag_denies(self, gate_up):
    return torch.nn.functional.silu(gate_up[..., ::2]) * gate_up[..., 1::2]


def columns_mixed(self, gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up.cumsum(dim=-1)


def softcapped_far_out(self, gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * 25 * torch.tanh(up / 25)


def test_limits_without_offset():
    assert recognise_gate(experts(gate=deepseek_v4, limit=10.0)) == Gate(gate_upper=10.0, up_upper=10.0, up_lower=-10.0)


@pytest.mark.parametrize(
    "gate",
    [up_alone_is_clamped, clamped_after_the_activation, another_alpha, columns_the_other_way_round,
     columns_that_the_flag_denies, columns_mixed, softcapped_far_out],
)  # fmt: skip
def test_gates_that_are_another_are_refused(gate):
    with pytest.raises(RequestError, match="which is another"):
        recognise_gate(experts(gate=gate, limit=7.0))


class Traced(torch.nn.Module):
    """Experts as a module's forward that was never called."""

    def __init__(self, module):
        super().__init__()
        self.experts = module

    def forward(self, hidden_states, ids, weights):
        return experts_forward(self.experts, hidden_states, ids, weights)


@pytest.mark.parametrize("strict", [False, True])
def test_a_gate_is_recognised_while_a_graph_is_exported(strict):
    module = experts(gate=clamped_gate, limit=7.0, is_concatenated=False)
    with torch.no_grad():
        exported = torch.export.export(Traced(module), tokens(), strict=strict)
        assert torch.equal(exported.module()(*tokens()), Traced(module)(*tokens()))


def test_a_gate_is_recognised_while_a_graph_is_compiled():
    module = experts()
    with torch.no_grad():
        compiled = torch.compile(Traced(module), backend="aot_eager", fullgraph=True)(*tokens())
        torch.testing.assert_close(compiled, Traced(module)(*tokens()), rtol=1e-3, atol=1e-3)


def test_a_gate_that_is_another_is_refused_while_a_graph_is_exported():
    with torch.no_grad(), pytest.raises(RequestError, match="which is another"):
        torch.export.export(Traced(experts(gate=another_alpha)), tokens())
