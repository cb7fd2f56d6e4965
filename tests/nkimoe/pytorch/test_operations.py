"""Operations with experts as torch operators: the results of the operations, fake kernels, no gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.operation_calls import NAMES, H, I, K, M, given  # noqa: E402

import nkimoe.pytorch as layers  # noqa: E402
from nkimoe import ops  # noqa: E402
from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.pytorch import options  # noqa: E402


@pytest.mark.parametrize("name", NAMES)
def test_results_are_those_of_the_operation_eager_and_in_one_graph(name):
    arguments, by_name = given(name)
    expected = getattr(ops, name)[2](*arguments, **by_name)
    function = getattr(layers, name)
    assert torch.equal(function(*arguments, **by_name), expected)
    compiled = torch.compile(lambda *tensors: function(*tensors, **by_name), backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(*arguments), expected)


@pytest.mark.parametrize("name", NAMES)
def test_torch_finds_the_operator_well_formed(name):
    arguments, by_name = given(name)
    torch.library.opcheck(getattr(torch.ops.nkimoe, name).default, arguments, by_name)


@pytest.mark.parametrize(("epilogue", "columns"), [(None, 2 * I), ("gelu", 2 * I), ("silu", I), ("swiglu", I)])
def test_a_graph_knows_the_columns_of_every_epilogue_before_it_runs(epilogue, columns):
    (x, w1, ids), _ = given("fused_moe_gemm")
    on_meta = [tensor.to("meta") for tensor in (x, w1, ids)]
    result = torch.ops.nkimoe.fused_moe_gemm(*on_meta, epilogue=epilogue)
    assert (tuple(result.shape), result.dtype) == ((M, K, columns), torch.bfloat16)


def test_quantised_weights_and_no_tokens_at_all():
    (x, w1, w2, weights, ids), by_name = given("fused_experts")
    out = layers.fused_moe(x, w1, w2, weights, ids, quantization="int8_w8a16", **by_name)
    assert torch.equal(out, ops.fused_moe[2](x, w1, w2, weights, ids, quantization="int8_w8a16", **by_name))
    none = layers.fused_moe(x[:0], w1, w2, weights[:0], ids[:0], quantization="int8_w8a16", **by_name)
    assert none.shape == (0, H)


@pytest.mark.parametrize("name", ["shared_expert", "fused_moe"])
def test_no_tokens_give_a_tensor_of_its_own(name):
    (x, *rest), by_name = given(name)
    rest = [t[:0] if isinstance(t, torch.Tensor) and len(t) == M else t for t in rest]
    empty = x[:0]
    out = getattr(layers, name)(empty, *rest, **by_name)
    assert out.shape == (0, H)
    assert out is not empty


def test_the_options_in_force_say_which_machine_and_how_many_cores(monkeypatch):
    import nkisim

    started, begin = [], nkisim.Simulator.__init__
    monkeypatch.setattr(
        nkisim.Simulator, "__init__", lambda self, *how, **more: started.append(how) or begin(self, *how, **more)
    )
    arguments, by_name = given("fused_moe")
    layers.fused_moe(*arguments, **by_name)
    with options(target="trn3", cores=1):
        layers.fused_moe(*arguments, **by_name)
    assert started == [("trn2", 2), ("trn3", 1)]


def test_a_compiled_layer_follows_the_options_in_force():
    arguments, _ = given("e2e_moe")
    compiled = torch.compile(layers.e2e_moe, backend="aot_eager", fullgraph=True)
    expected = compiled(*arguments)
    with options(cores=1):
        np.testing.assert_array_equal(compiled(*arguments).float(), expected.float())


@pytest.mark.parametrize("name", ["fused_moe", "fused_experts"])
def test_gradients_are_refused_by_name(name):
    (x, *rest), by_name = given(name)
    out = getattr(layers, name)(x.requires_grad_(), *rest, **by_name)
    with pytest.raises(RequestError, match=f"{name}: is not differentiated.*moe_experts"):
        out.float().sum().backward()


def test_refusals_of_the_operation_come_through():
    (x, *rest), by_name = given("fused_moe")
    with pytest.raises(RequestError, match="hidden_states: is bfloat16 or float16"):
        layers.fused_moe(x.float(), *rest, **by_name)
