"""What the driver itself decides: which sizes it replaces, what it excuses, and the MX data it draws for the peer."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conformance import choice, faster
from conformance.family import PeerBug
from conformance.stand_ins import neuron_dtypes


@dataclass
class Configuration:
    S_ctx: int
    name: str = "S_ctx"


def case(**params: Any) -> Any:
    """What pytest hands over for one case."""
    return SimpleNamespace(callspec=SimpleNamespace(params=params))


def test_sizes_are_replaced_as_parameters_in_configurations_and_in_generated_cases() -> None:
    ranged = SimpleNamespace(tensors={"x": {"tokens": 4096, "dtype": "bfloat16"}})
    item = case(tokens=10240, S_ctx=7, config=Configuration(9000), range_test_options=ranged)
    changed = choice.shrink(item, {"tokens": 1024, "S_ctx": 8192})
    params = item.callspec.params
    assert (params["tokens"], params["S_ctx"], params["config"].S_ctx) == (1024, 7, 8192)
    assert ranged.tensors["x"] == {"tokens": 1024, "dtype": "bfloat16"}
    assert changed == {"tokens": [4096, 1024], "S_ctx": [9000, 8192]}


def test_a_case_that_expects_a_rejection_keeps_its_sizes() -> None:
    item = case(tokens=10240, is_negative_test_case=True)
    assert choice.shrink(item, {"tokens": 1024}) == {}
    assert item.callspec.params["tokens"] == 10240


def test_a_known_mistake_excuses_only_what_it_is_known_for() -> None:
    bug = PeerBug("test_backward", "zeroed late", message="^affinities: relative L2")
    assert bug.matches("test_backward[1]", "affinities: relative L2 0.2")
    assert not bug.matches("test_backward[1]", "weights: relative L2 0.2, affinities: relative L2 0.2")
    assert not bug.matches("test_forward[1]", "affinities: relative L2 0.2")


def _limits(largest: float, exponent: int) -> Any:
    """What the generator takes of the peer, with a decoder of our own."""

    def decode(packed: Any, codes: Any) -> Any:
        scale = np.exp2(codes.astype(np.float64) - 127)
        return neuron_dtypes.unpack(packed) * scale.repeat(8, axis=0).repeat(4, axis=1)

    return SimpleNamespace(
        get_mx_fp_max=lambda _: largest,
        get_mx_max_exp=lambda _: exponent,
        static_cast=neuron_dtypes.static_cast,
        NL_TO_DT_DTYPE={},
        dequantize_mx_golden=decode,
    )


@pytest.mark.parametrize(
    ("dtype", "largest", "exponent"),
    [("float4_e2m1fn_x4", 6.0, 2), ("float8_e4m3fn_x4", 448.0, 8), ("float8_e5m2_x4", 57344.0, 15)],
)
def test_every_group_of_the_drawn_mx_data_reaches_the_largest_exponent(dtype, largest, exponent) -> None:
    np.random.seed(0)
    kind = getattr(neuron_dtypes, dtype)
    plain, packed, codes = faster.stabilized_mx_data(_limits(largest, exponent), kind, (64, 48), val_range=2.0)
    assert (plain.shape, packed.shape, codes.shape) == ((64, 48), (64, 12), (8, 12))
    groups = np.abs(neuron_dtypes.unpack(packed)).reshape(8, 8, 12, 4).max(axis=(1, 3))
    assert (np.floor(np.log2(groups)) == exponent).all()
    assert np.abs(plain).max() <= 2.0
    assert len(np.unique(codes)) > 5


def test_mx_data_comes_in_whole_groups() -> None:
    with pytest.raises(ValueError, match=r"\(8, 4\).*\(12, 4\)"):
        faster.stabilized_mx_data(_limits(6.0, 2), neuron_dtypes.float4_e2m1fn_x4, (12, 4))
