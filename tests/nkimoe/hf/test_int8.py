"""Models of int8 checkpoints: experts with the checkpoint's codes, beside torch's own integer arithmetic."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

from safetensors.torch import load_file  # noqa: E402
from support.saved_models import compressed_tensors, quantise_to_int8, save_model  # noqa: E402

import nkimoe.hf  # noqa: E402
from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.hf.forward import experts_forward  # noqa: E402
from nkimoe.hf.load_model import experts_module, load_model  # noqa: E402
from nkimoe.hf.packed import packed_weights  # noqa: E402
from nkimoe.pytorch import Options  # noqa: E402

from .experts import E, experts, one_by_one, tokens  # noqa: E402

PROMPT = torch.arange(24)[None] % 64
NAMES = {"Qwen3Moe": ("mlp", "gate_proj", "up_proj", "down_proj"), "Mixtral": ("block_sparse_moe", "w1", "w3", "w2")}
FORMS = {
    "compressed-tensors": {},
    "sglang": {"quantisation": {"quant_method": "w8a8_int8"}},
    "ascend": {"offsets": True},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """From a family and a form to a checkpoint of it, made once."""
    made = {}

    def of(family, form="compressed-tensors"):
        if (family, form) not in made:
            folder = save_model(tmp_path_factory.mktemp(family), family)
            made[family, form] = quantise_to_int8(folder, **FORMS[form])
        return made[family, form]

    return of


def per_token(rows):
    """int32 codes of each row, and its scale."""
    amax = rows.abs().amax(dim=-1, keepdim=True).clamp(min=1e-7)
    return (rows * (127 / amax)).round().int(), amax / 127


def integer_experts(folder, family, layer):
    """An experts implementation in torch, from the file: int32 sums, activations quantised a token at a time."""
    tensors = load_file(folder / "model.safetensors")
    block, *names = NAMES[family]

    def matmul(rows, e, name):
        weight = f"model.layers.{layer}.{block}.experts.{e}.{name}.weight"
        codes, scale = per_token(rows)
        return (codes @ tensors[weight].int().T).float() * scale * tensors[f"{weight}_scale"].float().T

    def forward(module, hidden, ids, weights):
        output = torch.zeros_like(hidden)
        for t, k in ((t, k) for t in range(len(ids)) for k in range(ids.shape[1])):
            e, x = int(ids[t, k]), hidden[t : t + 1].bfloat16().float()
            gate, up = (matmul(x, e, name) for name in names[:2])
            m = (torch.nn.functional.silu(gate) * up).bfloat16().float()
            output[t] += weights[t, k] * matmul(m, e, names[2])[0]
        return output

    return forward


def noted_calls(model):
    """Arguments and result of each layer's experts, while the prompt goes through the model."""
    calls = []
    handles = [
        experts_module(model, layer).register_forward_hook(lambda m, a, out: calls.append((m, a, out)))
        for layer in range(model.config.num_hidden_layers)
    ]
    with torch.no_grad():
        logits = model(PROMPT, use_cache=False).logits
    for handle in handles:
        handle.remove()
    return calls, logits


def error(actual, expected):
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", NAMES)
def test_experts_compute_what_torch_computes_with_integers(saved, family, form):
    folder = saved(family, form)
    calls, _ = noted_calls(nkimoe.hf.load_int8(folder))
    unquantised = load_model(folder)
    for layer, (module, arguments, output) in enumerate(calls):
        expected = integer_experts(folder, family, layer)(module, *arguments)
        assert error(output, expected) < 6e-3
        with torch.no_grad():
            plain = experts_module(unquantised, layer)(*arguments)
        assert error(output, plain) > 3 * error(output, expected), "activations are int8, not the weights alone"


@pytest.mark.parametrize("family", NAMES)
def test_logits_are_those_of_integers_within_the_error_of_quantising(saved, family, monkeypatch):
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    folder, model = saved(family), nkimoe.hf.load_int8(saved(family))
    _, logits = noted_calls(model)
    _, dequantised = noted_calls(load_model(folder))
    by_layer = [integer_experts(folder, family, layer) for layer in range(3)]
    modules = [experts_module(model, layer) for layer in range(3)]
    ALL_EXPERTS_FUNCTIONS.register("integers", lambda m, *a: by_layer[modules.index(m)](m, *a))
    model.set_experts_implementation("integers")
    _, expected = noted_calls(model)
    assert 0 < error(logits, expected) < error(dequantised, expected)


def test_codes_and_scales_are_those_of_the_file(saved):
    folder = saved("Mixtral")
    module = experts_module(nkimoe.hf.load_int8(folder), 1)
    tensors, block = load_file(folder / "model.safetensors"), "model.layers.1.block_sparse_moe.experts"
    names = [f"{block}.3.{name}.weight" for name in ("w1", "w3", "w2")]
    assert torch.equal(module.gate_up_proj[3], torch.cat([tensors[names[0]], tensors[names[1]]]))
    assert torch.equal(module.down_proj[3], tensors[names[2]])
    scales = torch.cat([tensors[f"{name}_scale"][:, 0] for name in names[:2]]).float()
    assert torch.equal(module.gate_up_proj_scale[3], scales)


def test_weights_alone_in_int8_keep_their_activations(tmp_path):
    quantisation = compressed_tensors(input_activations=None)
    folder = quantise_to_int8(save_model(tmp_path, "Qwen3Moe"), quantisation)
    calls, _ = noted_calls(nkimoe.hf.load_int8(folder))
    module, arguments, output = calls[0]
    assert module.activation_quantization is None
    with torch.no_grad():
        plain = experts_module(load_model(folder), 0)(*arguments)
    assert error(output, plain) < 6e-3


def test_the_layout_is_the_one_of_the_library(saved):
    pytest.importorskip("compressed_tensors", minversion="0.15")
    from compressed_tensors.compressors.naive_quantized import IntQuantizationCompressor
    from compressed_tensors.quantization import QuantizationConfig, preset_name_to_scheme

    folder = saved("Qwen3Moe")
    config = QuantizationConfig.model_validate(json.loads((folder / "config.json").read_text())["quantization_config"])
    scheme, w8a8 = config.config_groups["group_0"], preset_name_to_scheme("W8A8", ["Linear"])
    for part in ("num_bits", "type", "strategy", "symmetric", "dynamic"):
        for of in ("weights", "input_activations"):
            assert getattr(getattr(scheme, of), part) == getattr(getattr(w8a8, of), part)
    tensors, module = load_file(folder / "model.safetensors"), "model.layers.1.mlp.experts.2.down_proj"
    parts = {name: tensors[f"{module}.{name}"] for name in ("weight", "weight_scale")}
    real = IntQuantizationCompressor.decompress(parts, scheme)
    again = IntQuantizationCompressor.compress({**parts, "weight": real["weight"].float()}, scheme)
    assert set(again) == set(parts)
    ours = experts_module(load_model(folder), 1).down_proj[2]
    torch.testing.assert_close(ours, real["weight"].float(), rtol=2**-8, atol=0)


def test_a_checkpoint_without_shared_experts_is_refused_by_their_name(tmp_path):
    folder = quantise_to_int8(save_model(tmp_path, "DeepseekV3"))
    assert nkimoe.hf.load_int8(folder).config.n_shared_experts == 1
    from safetensors.torch import save_file

    kept = {name: t for name, t in load_file(folder / "model.safetensors").items() if "1.mlp.shared_exp" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RequestError, match=r"got no model\.layers\.1\.mlp\.shared_experts"):
        nkimoe.hf.load_int8(folder)


def test_a_model_without_int8_experts_is_refused(tmp_path):
    with pytest.raises(RequestError, match="has layers with int8 experts; got none"):
        nkimoe.hf.load_int8(save_model(tmp_path, "Qwen3Moe"))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("q_proj.weight_zero_point", torch.ones(96, 1, dtype=torch.int8), "weight_zero_point: is the scale of a"),
        ("q_proj.weight_scale", torch.ones(128, 3), r"weight_scale: is one an output channel; got \(128, 3\)"),
        ("q_proj.weight_scale", None, "weight_scale: is in the checkpoint"),
        ("q_proj.smooth_scale", torch.ones(96), r"only tensors that the model uses, .*; got .*q_proj\.smooth_scale"),
    ],
)
def test_other_layers_in_another_int8_or_with_more_are_refused_by_name(tmp_path, name, values, message):
    from safetensors.torch import save_file

    folder = quantise_to_int8(save_model(tmp_path, "Qwen3Moe"))
    tensors = load_file(folder / "model.safetensors")
    tensors[f"model.layers.0.self_attn.{name}"] = values
    save_file({n: t for n, t in tensors.items() if t is not None}, folder / "model.safetensors")
    with pytest.raises(RequestError, match=message):
        nkimoe.hf.load_int8(folder)


def coded(activations="int8_per_token", **flags):
    """An experts module in int8, and the same dequantised."""
    module, real = experts(**flags), experts(**flags)
    for name in ("gate_up_proj", "down_proj"):
        weight = getattr(module, name)
        axis = 1 if module.is_transposed else 2
        scale = weight.abs().amax(dim=axis, keepdim=True) / 127
        codes = (weight / scale).round()
        setattr(module, name, torch.nn.Parameter(codes.to(torch.int8), requires_grad=False))
        getattr(real, name).data = codes * scale
        module.register_buffer(f"{name}_scale", scale.reshape(E, -1))
    if activations != "unsaid":
        module.activation_quantization = activations
    return module, real


@pytest.mark.parametrize("is_transposed", [True, False])
@pytest.mark.parametrize("is_concatenated", [True, False])
@pytest.mark.parametrize(("activations", "bound"), [("int8_per_token", 3e-2), (None, 6e-3)])
def test_modules_in_int8_are_read_in_every_layout(is_transposed, is_concatenated, activations, bound):
    flags = {"is_transposed": is_transposed, "is_concatenated": is_concatenated, "has_bias": True}
    gate = None if is_concatenated else alternating_gate
    (module, real), arguments = coded(activations, gate=gate, **flags), tokens()
    with torch.no_grad():
        found = error(experts_forward(module, *arguments), one_by_one(real, *arguments))
        assert found < bound
        assert activations is None or found > 6e-3
        with nkimoe.hf.options(weights="int8"):
            assert torch.equal(experts_forward(module, *arguments), experts_forward(module, *arguments))


def alternating_gate(self, gate_up):
    return self.act_fn(gate_up[..., ::2]) * gate_up[..., 1::2]


def test_a_module_that_does_not_say_what_its_activations_are_is_refused():
    module, _ = coded("unsaid")
    with (
        torch.no_grad(),
        pytest.raises(RequestError, match=r"Experts\.activation_quantization: is 'int8_per_token' or"),
    ):
        experts_forward(module, *tokens())


def test_scales_of_another_shape_are_refused():
    module, _ = coded()
    module.down_proj_scale = module.down_proj_scale[:, :-1]
    with torch.no_grad(), pytest.raises(RequestError, match="scales: are a number an output column"):
        experts_forward(module, *tokens())


def test_a_module_in_int8_is_not_packed_in_another_format():
    module, _ = coded()
    with (
        torch.no_grad(), nkimoe.hf.options(weights="fp8-row"),
        pytest.raises(RequestError, match="is plain or int8 for experts in int8; got 'fp8-row'"),
    ):  # fmt: skip
        experts_forward(module, *tokens())


def test_packed_codes_are_kept_until_codes_scales_or_activations_change():
    module, _ = coded()

    def packed():
        with torch.no_grad():
            return packed_weights(module, tokens()[0], Options())

    first = packed()
    assert first is packed()
    module.down_proj_scale *= 2
    second = packed()
    assert torch.equal(second.scales[1][:, :, :40], 2 * first.scales[1][:, :, :40])
    module.activation_quantization = None
    assert packed().exact_rows is None
    assert second.exact_rows is not None


def test_float_models_are_quantised_to_int8_with_int8_activations():
    module, arguments = experts(has_bias=True), tokens()
    with torch.no_grad():
        expected = one_by_one(module, *arguments)
        plain = experts_forward(module, *arguments)
        with nkimoe.hf.options(weights="int8"):
            actual = experts_forward(module, *arguments)
    assert error(plain, expected) < error(actual, expected) < 4e-2


@pytest.mark.parametrize("variant", ["shard_on_i", "shard_on_i_hybrid"])
def test_variants_that_split_i_give_the_same(variant):
    module, arguments = experts(), tokens()
    with torch.no_grad(), nkimoe.hf.options(weights="int8"):
        expected = experts_forward(module, *arguments)
    with torch.no_grad(), nkimoe.hf.options(weights="int8", variant=variant):
        actual = experts_forward(module, *arguments)
    assert error(actual, expected) < 1e-2


def test_a_compiled_model_in_int8_is_one_graph(saved):
    model = nkimoe.hf.load_int8(saved("Qwen3Moe"))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        eager = model(PROMPT, use_cache=False).logits
        torch.testing.assert_close(compiled(PROMPT, use_cache=False).logits, eager)
