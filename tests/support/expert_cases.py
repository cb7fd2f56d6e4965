"""Layers of tests of the operations with experts, one definition again in torch, and how close results must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkimoe.cli.op.inputs import int8_weights, normal_rows, softmax_choices, weight_scales
from nkimoe.reference import expert_ops
from nkimoe.reference.activations import ACTIVATIONS
from nkimoe.spec import ActFnType
from nkisim.operations.operators import OPERATORS
from support.row_cases import DTYPES

Arguments = dict[str, Any]
EQUAL_SHARE = 0.99  # of outputs; the others are last places away


def weights_and_scales(rng: np.random.Generator, E: int, N: int, K: int, halves: int = 2) -> Arguments:
    """int8 in -126..126 [E, 2N, K] and [E, K, N], scales up to 0.01: SGLang's data."""
    rows = halves * N
    return {
        "w1": int8_weights(rng, (E, rows, K)),
        "w2": int8_weights(rng, (E, K, N)),
        "w1_scale": weight_scales(rng, (E, rows)),
        "w2_scale": weight_scales(rng, (E, K)),
    }


def tokens_and_routing(rng: np.random.Generator, T: int, K: int, E: int, k: int, dtype: str) -> Arguments:
    """x normal over the root of K; weights of a softmax over all experts, as they are."""
    x = normal_rows(rng, (T, K), DTYPES[dtype])
    weights, ids = softmax_choices(rng, T, E, k)
    return {"x": x, "topk_weights": weights, "topk_ids": ids}


def layer(T: int, N: int, K: int, E: int = 8, k: int = 3, dtype: str = "bfloat16", seed: int = 1234) -> Arguments:
    """Arguments of `fused_experts`."""
    rng = np.random.default_rng(seed)
    return tokens_and_routing(rng, T, K, E, k, dtype) | weights_and_scales(rng, E, N, K)


def smooth_layer(T: int, N: int, K: int, E: int = 8, k: int = 3, dtype: str = "bfloat16", gated: bool = True,
                 seed: int = 1234) -> Arguments:  # fmt: skip
    """Arguments of `fused_moe_smoothquant`."""
    rng = np.random.default_rng(seed)
    smooth = {"smooth_scale1": rng.uniform(0.1, 2, (E, K)), "smooth_scale2": rng.uniform(0.1, 2, (E, N))}
    return (
        tokens_and_routing(rng, T, K, E, k, dtype)
        | weights_and_scales(rng, E, N, K, 2 if gated else 1)
        | {name: values.astype(np.float32) for name, values in smooth.items()}
    )


def shared_layer(T: int, N: int, K: int, dtype: str = "bfloat16", seed: int = 1234) -> Arguments:
    """Arguments of `shared_expert`: SGLang's factor, x and routed results normal over K."""
    rng = np.random.default_rng(seed)
    of_one = {name: values[0] for name, values in weights_and_scales(rng, 1, N, K).items()}
    x, routed = ((rng.standard_normal((T, K)) / K).astype(DTYPES[dtype]) for _ in range(2))
    return {"x": x, "fused_experts_out": routed, "routed_scaling_factor": 16.0, **of_one}


def simulated_silu(values: np.ndarray) -> np.ndarray:
    """The activation as the simulator's Scalar Engine computes it."""
    return OPERATORS["silu"].function(values)


def simulated_activations() -> dict[ActFnType, Any]:
    """What definitions take, with the simulator's values.

    The last bit of an activation decides now and then which of two 16-bit numbers act(g) * u becomes, and so which of
    two codes: a whole step of its row, more than a last place of the output. With equal activations codes are equal.
    """
    simulated = {ActFnType.SiLU: "silu", ActFnType.GELU: "gelu"}
    return {kind: ACTIVATIONS[kind]._replace(value=OPERATORS[name].function) for kind, name in simulated.items()}


def activate_as_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Definitions, too, take the simulator's activations."""
    monkeypatch.setattr(expert_ops, "ACTIVATIONS", simulated_activations())


def in_torch(arguments: Arguments, silu: Callable[[np.ndarray], np.ndarray], round_each: bool = True) -> np.ndarray:
    """`fused_experts` written again, pair by pair: torch multiplies codes as integers."""
    import torch

    x, weights, s1, s2 = (
        torch.from_numpy(arguments[name].astype(np.float32)) for name in ("x", "topk_weights", "w1_scale", "w2_scale")
    )
    w1, w2 = (torch.from_numpy(arguments[name]).to(torch.int32) for name in ("w1", "w2"))
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[str(arguments["x"].dtype)]

    def coded(row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        amax, largest = row.abs().max().clamp(min=1e-7), torch.tensor(127.0)  # 127 / amax would be 127 * (1 / amax)
        return torch.round(row * (largest / amax)).to(torch.int32), amax / largest

    out = torch.zeros(x.shape)
    for t, j in np.argwhere((arguments["topk_ids"] >= 0) & (arguments["topk_ids"] < len(w1))):
        e = arguments["topk_ids"][t, j]
        q, of_x = coded(x[t])
        gate, up = ((w1[e] @ q).to(torch.float32) * of_x * s1[e]).chunk(2)
        p, of_m = coded((torch.from_numpy(silu(gate.numpy())) * up).to(dtype).to(torch.float32))
        y = (w2[e] @ p).to(torch.float32) * of_m * s2[e] * weights[t, j]
        out[t] += y.to(dtype).to(torch.float32) if round_each else y
    return out.to(dtype).to(torch.float32).numpy().astype(arguments["x"].dtype)


def last_place(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """fp32: the distance of neighbours of a 16-bit type, where these values are."""
    limits = ml_dtypes.finfo(dtype)
    steps = np.ldexp(np.float32(limits.eps), np.frexp(values.astype(np.float32))[1] - 1)
    return np.maximum(steps, np.float32(limits.smallest_subnormal))


def places_of_choices(definition: Callable[..., np.ndarray], arguments: Arguments) -> np.ndarray:
    """fp32 [T, K]: a last place of each choice's result, and one of their sum."""
    routing = arguments["topk_ids"], arguments["topk_weights"]
    of_choices = [
        definition(**arguments | {"topk_ids": ids[:, None], "topk_weights": weights[:, None]})
        for ids, weights in zip(*(each.T for each in routing), strict=True)
    ]
    return np.sum([last_place(each, each.dtype) for each in (*of_choices, definition(**arguments))], axis=0)


def assert_as_defined(found: np.ndarray, expected: np.ndarray, places: np.ndarray) -> None:
    """Equal, but for one in a hundred outputs, each of whose terms may be a last place away.

    The kernel multiplies the weight with the scale of the row before the sum meets both, so that a result in fp32 may
    differ in its last bit, and lie on the other side of the middle between two 16-bit numbers.
    """
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    a, b = found.astype(np.float32), expected.astype(np.float32)
    assert np.isfinite(a).all()
    assert (np.abs(a - b) <= places).all()
    assert np.count_nonzero(a != b) <= (1 - EQUAL_SHARE) * a.size
