"""What people do with a model besides one forward pass in float32."""

import gc

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5")

import nkimoe.hf  # noqa: E402

PROMPT = torch.arange(10)[None]


def made():
    nkimoe.hf.register()
    torch.manual_seed(0)
    config = transformers.Qwen3MoeConfig(
        hidden_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32, vocab_size=64,
        intermediate_size=80, moe_intermediate_size=80, num_experts=8, num_experts_per_tok=2, initializer_range=0.2,
    )  # fmt: skip
    return transformers.Qwen3MoeForCausalLM(config).bfloat16().eval()


@pytest.fixture
def model():
    return made()


def test_a_bf16_model_generates_the_same_tokens_with_a_cache(model):
    generated = []
    for implementation in ("eager", "nkimoe"):
        model.set_experts_implementation(implementation)
        with torch.no_grad():
            generated.append(model.generate(PROMPT, max_new_tokens=6, do_sample=False)[0].tolist())
    assert generated[0] == generated[1]
    assert len(set(generated[0][10:])) > 2, "the continuation must depend on something"


def test_a_compiled_model_is_one_graph_and_follows_the_options(model):
    model.set_experts_implementation("nkimoe")
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        plain = model(PROMPT, use_cache=False).logits
        torch.testing.assert_close(compiled(PROMPT, use_cache=False).logits, plain)
        with nkimoe.hf.options(variant="shard_on_i", dtype="float16"):
            torch.testing.assert_close(compiled(PROMPT, use_cache=False).logits, model(PROMPT, use_cache=False).logits)


@pytest.mark.parametrize("implementation", ["nkimoe", "nkimoe_fused_moe"])
def test_models_that_are_gone_do_not_disturb_the_next_compiled_one(implementation):
    def logits(model, compiled):
        model.set_experts_implementation(implementation)
        with torch.no_grad():
            plain = model(PROMPT, use_cache=False).logits
            if compiled:
                model = torch.compile(model, backend="aot_eager", fullgraph=True)
                torch.testing.assert_close(model(PROMPT, use_cache=False).logits, plain)

    models = [made(), made(), made()]
    for number, model in enumerate(models):
        logits(model, compiled=number == 2)
    del model, models
    gc.collect()
    logits(made(), compiled=True)


def test_fused_moe_gives_the_same_logits_eager_and_compiled(model):
    logits = {}
    for implementation in ("eager", "nkimoe_fused_moe"):
        model.set_experts_implementation(implementation)
        with torch.no_grad():
            logits[implementation] = model(PROMPT, use_cache=False).logits
    spread = logits["eager"].max() - logits["eager"].min()
    assert (logits["nkimoe_fused_moe"] - logits["eager"]).abs().max() < 2e-2 * spread
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(PROMPT, use_cache=False).logits, logits["nkimoe_fused_moe"])


def test_gradient_checkpointing_gives_the_same_gradients(model):
    model.set_experts_implementation("nkimoe")
    model.float().train()
    weight, grads = model.model.layers[0].mlp.experts.down_proj, []
    for switch in (model.activation_checkpointing_disable, model.activation_checkpointing_enable):
        switch()
        model.zero_grad()
        model(input_ids=PROMPT, labels=PROMPT, use_cache=False).loss.backward()
        grads.append(weight.grad.clone())
    assert grads[0].norm() > 0
    torch.testing.assert_close(grads[0], grads[1])
