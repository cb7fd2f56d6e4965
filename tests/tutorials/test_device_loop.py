"""Tutorial 6 with several trip counts, none among them."""

import numpy as np
import pytest

from nkisim import Simulator

from .kernels.device_loop import sum_along_chain, sum_of_first

TARGETS = pytest.mark.parametrize("target", ["trn2", "trn3"])


@TARGETS
@pytest.mark.parametrize("count", [0, 1, 5], ids=["no-iteration", "one-iteration", "every-block"])
def test_the_trip_count_comes_from_a_tensor(target: str, count: int) -> None:
    blocks = np.random.default_rng(1).standard_normal((5, 33, 7), np.float32)
    total = Simulator(target).run(sum_of_first, blocks, np.array([[count]], np.int32)).outputs
    np.testing.assert_allclose(total, blocks[:count].sum(axis=0), atol=1e-6)


@TARGETS
@pytest.mark.parametrize(
    "chain", [[], [3], [5, 2, 7, 1]], ids=["an-empty-chain", "a-chain-of-one", "a-chain-that-jumps-back-and-forth"]
)
def test_the_loop_ends_where_the_chain_does(target: str, chain: list[int]) -> None:
    values = np.random.default_rng(2).standard_normal((8, 11), np.float32)
    following = np.zeros((8, 1), np.int32)
    for here, after in zip(chain, [*chain[1:], 0], strict=False):
        following[here] = after
    first = np.array([[chain[0] if chain else 0]], np.int32)
    total = Simulator(target).run(sum_along_chain, values, following, first).outputs
    np.testing.assert_allclose(total, values[chain].sum(axis=0, keepdims=True), atol=1e-6)


def test_the_number_of_instructions_grows_with_the_trip_count() -> None:
    blocks = np.ones((5, 2, 2), np.float32)
    few, many = (Simulator("trn2").run(sum_of_first, blocks, np.array([[n]], np.int32)) for n in (1, 4))
    assert many.profile.opcodes["tensor_tensor"] - few.profile.opcodes["tensor_tensor"] == 3
