"""A model trained with nkimoe follows the loss of eager."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5")

import nkimoe.hf  # noqa: E402

STEPS = 5


def losses(implementation):
    torch.manual_seed(0)
    config = transformers.Qwen3MoeConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=32, vocab_size=50,
        intermediate_size=48, moe_intermediate_size=48, num_experts=4, num_experts_per_tok=2, initializer_range=0.2,
    )  # fmt: skip
    model = transformers.Qwen3MoeForCausalLM(config)
    model.set_experts_implementation(implementation)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    text = torch.randint(0, 50, (2, 12))
    values = []
    for _ in range(STEPS):
        loss = model(input_ids=text, labels=text).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    block = model.model.layers[0].mlp
    return values, [
        float(p.grad.norm()) for p in (block.experts.gate_up_proj, block.experts.down_proj, block.gate.weight)
    ]


def test_five_steps_of_a_tiny_qwen3_moe_follow_the_loss_of_eager():
    nkimoe.hf.register()
    (expected, expected_norms), (actual, norms) = losses("eager"), losses("nkimoe")
    assert expected[-1] < expected[0] - 0.5, "the model must learn for the comparison to mean something"
    assert actual == pytest.approx(expected, rel=1e-2)
    assert norms == pytest.approx(expected_norms, rel=5e-2)
    assert min(norms) > 0
