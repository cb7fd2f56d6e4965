"""The routers of transformers, with random weights: the same experts, the same weights."""

from types import SimpleNamespace

import numpy as np
import pytest

from nkimoe.routing import GroupScore, RoutingRule, Score, on_device, route

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

E, H, T = 16, 8, 200
CONFIG = {
    "hidden_size": H, "num_experts": E, "num_local_experts": E, "num_experts_per_tok": 4, "norm_topk_prob": True,
    "n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5, "topk_method": "group_limited_greedy",
    "scoring_func": "sqrtsoftplus", "router_jitter_noise": 0.0,
}  # fmt: skip
V3 = RoutingRule(4, Score.SIGMOID, scaling_factor=2.5, groups=4, top_groups=2, group_score=GroupScore.TOP_2_SUM)
CASES = [
    ("qwen3_moe", "Qwen3MoeTopKRouter", {}, RoutingRule(4)),
    ("qwen3_moe", "Qwen3MoeTopKRouter", {"norm_topk_prob": False}, RoutingRule(4, renormalize=False)),
    ("mixtral", "MixtralTopKRouter", {}, RoutingRule(4)),
    ("gpt_oss", "GptOssTopKRouter", {}, RoutingRule(4, Score.SOFTMAX_OF_CHOSEN, renormalize=False)),
    ("deepseek_v2", "DeepseekV2TopkRouter", {},
     RoutingRule(4, renormalize=False, scaling_factor=2.5, groups=4, top_groups=2)),
    ("deepseek_v3", "DeepseekV3TopkRouter", {}, V3),
    ("glm4_moe", "Glm4MoeTopkRouter", {"n_routed_experts": E}, V3),
    ("deepseek_v4", "DeepseekV4TopKRouter", {}, RoutingRule(4, Score.SQRT_SOFTPLUS, scaling_factor=2.5)),
]  # fmt: skip


@pytest.mark.parametrize("ours", [route, on_device.route], ids=["NumPy", "kernel"])
@pytest.mark.parametrize(("family", "name", "changes", "rule"), CASES)
def test_the_same_experts_and_weights(family, name, changes, rule, ours):
    module = __import__(f"transformers.models.{family}.modeling_{family}", fromlist=[name])
    torch.manual_seed(0)
    router = getattr(module, name)(SimpleNamespace(**CONFIG | changes))
    for tensor in (*router.parameters(), *router.buffers()):
        torch.nn.init.normal_(tensor, std=0.5)
    hidden = torch.randn(T, H)
    with torch.no_grad():
        logits, weights, ids = router(hidden)
    bias = getattr(router, "e_score_correction_bias", None)
    chosen = ours(logits.numpy(), rule, None if bias is None else bias.numpy())
    dense = []
    for w, i in ((weights.numpy(), ids.numpy()), chosen):  # their order within a token is free
        dense.append(np.zeros((T, E), np.float32))
        np.put_along_axis(dense[-1], i.astype(np.int64), w, axis=1)
    np.testing.assert_array_equal(dense[0] != 0, dense[1] != 0)
    np.testing.assert_allclose(dense[1], dense[0], rtol=2e-6)


@pytest.mark.parametrize("ours", [route, on_device.route], ids=["NumPy", "kernel"])
def test_llama4_sigmoid_of_the_best(ours):
    from transformers.models.llama4.modeling_llama4 import Llama4Router

    torch.manual_seed(0)
    router = Llama4Router(SimpleNamespace(**CONFIG | {"num_experts_per_tok": 1}))
    with torch.no_grad():
        scores, logits = router(torch.randn(T, H))
    weights, ids = ours(logits.numpy(), RoutingRule(1, Score.SIGMOID, renormalize=False))
    np.testing.assert_array_equal(ids[:, 0], scores.argmax(1).numpy())
    np.testing.assert_allclose(weights[:, 0], scores.max(1).values.numpy(), rtol=2e-6)
