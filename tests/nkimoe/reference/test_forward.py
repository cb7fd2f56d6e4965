"""The golden model agrees with a loop over tokens and experts in float64, and with numbers worked by hand."""

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from nkimoe.reference import moe_cte_reference
from nkimoe.reference.activations import ACTIVATIONS, sigmoid
from nkimoe.routing import build_block_mapping, scatter_affinities
from nkimoe.spec import ActFnType, ExpertAffinityScaleMode

Array = npt.NDArray[Any]
T, H, INTERMEDIATE, E, K, B = 23, 12, 7, 5, 2, 4  # odd sizes; expert 3 never gets a token

SCALAR_ACTIVATIONS: dict[ActFnType, Callable[[float], float]] = {
    ActFnType.SiLU: lambda x: x / (1 + math.exp(-x)),
    ActFnType.GELU: lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    ActFnType.GELU_Tanh_Approx: lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ActFnType.Swish: lambda x: x / (1 + math.exp(-1.702 * x)),
    ActFnType.ReLU: lambda x: max(x, 0.0),
    ActFnType.SquaredReLU: lambda x: max(x, 0.0) ** 2,
}


class Layer:
    """Random tensors of one layer, with the routing that produced the block mapping."""

    def __init__(self, dtype: npt.DTypeLike = np.float32, skip_token: bool = True) -> None:
        rng = np.random.default_rng(0)
        self.expert_ids = np.stack([rng.permutation([0, 1, 2, 4])[:K] for _ in range(T)])
        self.expert_ids[5, 1] = -1  # one token with a single local expert
        self.expert_ids[6] = -1  # one with none
        weights = rng.uniform(0.1, 1, (T, K))
        affinities = scatter_affinities(weights, self.expert_ids, E, skip_token=skip_token, dtype=dtype)
        mapping = build_block_mapping(self.expert_ids, E, B, skip_token=skip_token)
        hidden = rng.normal(size=(T, H))
        self.inputs: dict[str, Any] = {
            "hidden_states": hidden if skip_token else np.vstack([hidden, np.zeros((1, H))]),
            "expert_affinities_masked": affinities,
            "gate_up_proj_weight": rng.normal(size=(E, H, 2, INTERMEDIATE)) / 2,
            "down_proj_weight": rng.normal(size=(E, INTERMEDIATE, H)) / 2,
            "gate_and_up_proj_bias": rng.normal(size=(E, 2, INTERMEDIATE)),
            "down_proj_bias": rng.normal(size=(E, H)),
        }
        self.inputs = {name: value.astype(dtype) for name, value in self.inputs.items()}
        self.routing: dict[str, Any] = {
            "token_position_to_id": mapping.token_position_to_id,
            "block_to_expert": mapping.block_to_expert,
            "block_size": B,
            "skip_token": skip_token,
        }

    def reference(self, **options: Any) -> npt.NDArray[np.float32]:
        return moe_cte_reference(**{**self.inputs, **self.routing, **options})


def naive_output(
    layer: Layer,
    activation_function: ActFnType = ActFnType.SiLU,
    expert_affinities_scaling_mode: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE,
    is_tensor_update_accumulating: bool = True,
    skip_gate_proj: bool = False,
    **limits: float | None,
) -> Array:
    """out[t] = sum over e of expert e's MLP of row t, one intermediate column at a time, in float64."""
    hidden, affinities, gate_up, down, gate_up_bias, down_bias = (
        tensor.astype(np.float64) for tensor in layer.inputs.values()
    )
    act, mode = SCALAR_ACTIVATIONS[activation_function], expert_affinities_scaling_mode.name

    def clamp(x: float, name: str) -> float:
        lower, upper = limits.get(f"{name}_clamp_lower_limit"), limits.get(f"{name}_clamp_upper_limit")
        x = x if lower is None or x > lower else lower
        return x if upper is None or x < upper else upper

    output = np.zeros(hidden.shape)
    for t, row in enumerate(layer.expert_ids):
        for e in sorted(int(e) for e in row if e >= 0):
            affinity = affinities[t * E + e, 0]
            x = hidden[t] * (affinity if mode.startswith("PRE_SCALE") else 1)
            y = down_bias[e].copy()
            for i in range(INTERMEDIATE):
                gate, up = (x @ gate_up[e, :, g, i] + gate_up_bias[e, g, i] for g in (0, 1))
                gate, up = clamp(gate, "gate"), clamp(up, "up")
                y += (act(up) if skip_gate_proj else act(gate) * up) * down[e, i]
            y *= affinity if mode == "POST_SCALE" else 1
            output[t] = output[t] + y if is_tensor_update_accumulating else y
    return output


def assert_agrees_with_the_naive_loop(layer: Layer, **options: Any) -> None:
    actual, expected = layer.reference(**options), naive_output(layer, **options)
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-5)


LIMITS = {"gate_clamp_upper_limit": 0.7, "gate_clamp_lower_limit": -0.5}
LIMITS |= {"up_clamp_upper_limit": 0.4, "up_clamp_lower_limit": -0.6}


@pytest.mark.parametrize("mode", ExpertAffinityScaleMode)
@pytest.mark.parametrize("activation", ActFnType)
def test_every_activation_and_scale_mode(activation: ActFnType, mode: ExpertAffinityScaleMode) -> None:
    options = {"activation_function": activation, "expert_affinities_scaling_mode": mode}
    assert_agrees_with_the_naive_loop(Layer(), **options)


@pytest.mark.parametrize("skip_token", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_every_dtype_and_padding_convention(dtype: npt.DTypeLike, skip_token: bool) -> None:
    layer = Layer(dtype, skip_token)
    assert layer.reference().dtype == np.float32
    assert_agrees_with_the_naive_loop(layer)


@pytest.mark.parametrize("limit", LIMITS)
def test_each_clamp_limit_alone_zero_included_and_all_together(limit: str) -> None:
    for limits in ({limit: LIMITS[limit]}, {limit: 0.0}, LIMITS):
        assert_agrees_with_the_naive_loop(Layer(), **limits)


@pytest.mark.parametrize("bias", ["gate_and_up_proj_bias", "down_proj_bias"])
def test_no_bias_is_a_bias_of_zero(bias: str) -> None:
    layer = Layer()
    without = layer.reference(**{bias: None})
    layer.inputs[bias] = np.zeros_like(layer.inputs[bias])
    np.testing.assert_array_equal(without, layer.reference())
    assert_agrees_with_the_naive_loop(layer)


@pytest.mark.parametrize("mode", ExpertAffinityScaleMode)
def test_an_expert_without_a_gate_ignores_the_gate_weights(mode: ExpertAffinityScaleMode) -> None:
    layer = Layer()
    options = {"skip_gate_proj": True, "expert_affinities_scaling_mode": mode, "up_clamp_upper_limit": 0.4}
    assert_agrees_with_the_naive_loop(layer, activation_function=ActFnType.SquaredReLU, **options)
    expected = layer.reference(**options)
    layer.inputs["gate_up_proj_weight"][:, :, 0] = np.nan
    layer.inputs["gate_and_up_proj_bias"][:, 0] = np.nan
    np.testing.assert_array_equal(layer.reference(**options), expected)


def test_without_accumulation_the_last_block_of_a_token_wins() -> None:
    assert_agrees_with_the_naive_loop(Layer(), is_tensor_update_accumulating=False)


def test_two_tokens_worked_by_hand() -> None:
    output = moe_cte_reference(
        hidden_states=np.array([[1.0, 2.0], [-3.0, 1.0]]),
        expert_affinities_masked=np.array([[0.5], [0.0], [0.25], [2.0]]),
        gate_up_proj_weight=np.array([[[[1.0], [0.0]], [[0.0], [1.0]]], [[[0.0], [-1.0]], [[2.0], [0.0]]]]),
        down_proj_weight=np.array([[[1.0, -1.0]], [[2.0, 0.0]]]),
        token_position_to_id=np.array([0, 1, 1, -1]),
        block_to_expert=np.array([0, 1]),
        block_size=2,
        down_proj_bias=np.array([[0.0, 0.0], [0.0, 10.0]]),
        activation_function=ActFnType.ReLU,
        skip_token=True,
    )
    # token 0, expert 0: relu(1) * 2 = 2, down (2, -2), times 0.5.
    # token 1, expert 0: relu(-3) * 1 = 0.  Expert 1: relu(2) * 3 = 6, down (12, 0) + (0, 10), times 2.
    assert output.tolist() == [[1.0, -1.0], [24.0, 20.0]]


def test_the_pad_row_and_tokens_in_no_block_stay_zero() -> None:
    output = Layer(skip_token=False).reference(
        expert_affinities_scaling_mode=ExpertAffinityScaleMode.NO_SCALE, is_tensor_update_accumulating=False
    )
    assert output.shape == (T + 1, H)
    assert not output[[6, T]].any()
    assert output[[5, 7]].all()


def test_ids_outside_the_rows_are_padding() -> None:
    layer = Layer()
    expected = layer.reference()
    ids = layer.routing["token_position_to_id"]
    ids[ids == -1] = [(-7, T, T + 9)[i % 3] for i in range(np.count_nonzero(ids == -1))]
    np.testing.assert_array_equal(layer.reference(), expected)


def test_a_token_twice_in_one_block_counts_twice() -> None:
    layer = Layer()
    once = layer.reference(token_position_to_id=np.array([3, -1, -1, -1]), block_to_expert=np.array([2]))
    twice = layer.reference(token_position_to_id=np.array([3, -1, 3, -1]), block_to_expert=np.array([2]))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5, atol=1e-5)


def test_column_shaped_inputs_mean_the_same() -> None:
    layer = Layer()
    experts, bias = layer.routing["block_to_expert"], layer.inputs["down_proj_bias"]
    columns = layer.reference(block_to_expert=experts[:, None], down_proj_bias=bias[:, None])
    np.testing.assert_array_equal(columns, layer.reference())


def test_no_blocks_give_zeros() -> None:
    empty = np.zeros(0, np.int32)
    assert not Layer().reference(token_position_to_id=empty, block_to_expert=empty).any()


def test_an_empty_block_may_name_any_expert() -> None:
    assert not Layer().reference(token_position_to_id=np.full(B, -1), block_to_expert=np.array([E])).any()


@pytest.mark.parametrize("expert", [-1, E])
def test_a_used_block_of_an_unknown_expert_is_refused(expert: int) -> None:
    with pytest.raises(ValueError, match=rf"block_to_expert must be 0\.\.4 .* got \{{{expert}\}}"):
        Layer().reference(token_position_to_id=np.array([0, -1, -1, -1]), block_to_expert=np.array([expert]))


@pytest.mark.parametrize(
    ("name", "size", "rule"),
    [
        ("token_position_to_id", 5, r"must be \[N, B\] = \[\d+, 4\] in row order, got 5"),
        ("expert_affinities_masked", 7, r"must be \[T', E\] = \[23, 5\] in row order, got 7"),
    ],
)
def test_sizes_that_disagree_are_refused(name: str, size: int, rule: str) -> None:
    with pytest.raises(ValueError, match=f"{name} {rule}"):
        Layer().reference(**{name: np.zeros(size, np.int32)})


@pytest.mark.parametrize("option", ["activation_function", "expert_affinities_scaling_mode"])
def test_an_option_of_no_known_member_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        Layer().reference(**{option: "SiLU"})


@pytest.mark.parametrize("activation", ActFnType)
def test_activations_are_accurate_in_both_tails(activation: ActFnType) -> None:
    x = np.linspace(-12, 12, 20001, dtype=np.float32)
    exact = [SCALAR_ACTIVATIONS[activation](float(value)) for value in x]
    actual = ACTIVATIONS[activation].value(x)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, exact, rtol=1e-6, atol=1e-6)


def test_gelu_keeps_its_relative_accuracy_where_one_plus_erf_cancels() -> None:
    x = np.linspace(-8, -2, 1001, dtype=np.float32)
    exact = [0.5 * float(value) * math.erfc(-float(value) / math.sqrt(2)) for value in x]
    np.testing.assert_allclose(ACTIVATIONS[ActFnType.GELU].value(x), exact, rtol=1e-5)


def test_sigmoid_neither_overflows_nor_loses_its_tail() -> None:
    x = np.array([-1e30, -1000, -50, 0, 50, 1000, 1e30], np.float32)
    np.testing.assert_allclose(sigmoid(x), [0, 0, math.exp(-50), 0.5, 1, 1, 1], rtol=1e-6)
