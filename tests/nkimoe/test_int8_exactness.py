"""What int8 computes is integer arithmetic: sums, quotients, and how many rows fp32 adds exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.case import Case
from support.inputs import build_inputs
from support.int8_stages import (
    LONG_H,
    LONG_I,
    NO_LIMIT,
    as_int32_gives,
    check_certificate,
    check_exact_sums,
    check_quotients,
    check_token_codes,
    exact_layer,
    exact_sums,
)
from support.launch import run

from nkimoe import InputError, QuantizationConfig, check_inputs
from nkimoe.weights.int8 import exact_rows

Ints = npt.NDArray[np.int8]
MOST = 2**24  # integers up to here are exact in fp32
CLAIMED = Case(T=20, H=2048, I=64, E=2, K=1, weights="int8", int8_inputs=True)


@pytest.mark.parametrize("piece", [128, 640, 1024, 2304, 16384])
@pytest.mark.parametrize("rows", [100, 1024, 1100, 2048, 3000, 7168, 16384])
@pytest.mark.parametrize("codes", ["all 127", "all -128", "any"])
def test_sums_of_the_largest_codes_are_those_of_integers(codes: str, rows: int, piece: int) -> None:
    rng = np.random.default_rng(rows)
    low, high = {"all 127": (127, 128), "all -128": (-128, -127), "any": (-128, 128)}[codes]
    operands = [rng.integers(low, high, (rows, columns)).astype(np.int8) for columns in (32, 80)]
    np.testing.assert_array_equal(exact_sums(*operands, 1024, piece), as_int32_gives(*operands))


def test_sums_that_are_large_and_odd_are_those_of_integers() -> None:
    check_exact_sums()


@pytest.mark.parametrize("rows", [2048, 3072, NO_LIMIT])
def test_longer_sums_of_certified_codes_are_exact_too(rows: int) -> None:
    rng, length = np.random.default_rng(rows), 7168
    largest = MOST // (127 * min(rows, length) + 127 * 128)
    moving = np.sign(rng.standard_normal((length, 40))).astype(np.int8) * np.int8(largest)
    stationary = rng.integers(-127, 128, (length, 16)).astype(np.int8)
    np.testing.assert_array_equal(exact_sums(stationary, moving, rows, 640), as_int32_gives(stationary, moving))


@pytest.mark.parametrize("exact", [None, 1024])
@pytest.mark.parametrize(("case", "long_hidden"), [(LONG_H, True), (LONG_I, False)], ids=["H", "I"])
def test_a_layer_of_the_largest_codes_gives_the_integers_of_its_formula(
    case: Case, long_hidden: bool, exact: int | None
) -> None:
    changes, expected = exact_layer(case, long_hidden, exact)
    inputs = {name: value for name, value in build_inputs(case).items() if not name.endswith("_scale")}
    found = run(case, inputs | changes).output
    np.testing.assert_array_equal(found.astype(np.float32), expected)


def test_quotients_are_those_of_divisions() -> None:
    check_quotients()


def test_tokens_quantised_some_tiles_at_a_time_have_the_codes_of_a_division() -> None:
    check_token_codes()


# How many rows --------------------------------------------------------------------------------------------------------


@st.composite
def weights(draw: st.DrawFn) -> tuple[Ints, Ints]:
    """Gate/up [1, H, 2, 1] and down [1, I, 2]: tiles of 128 rows of about equal magnitude, each its own."""
    result = []
    for columns in ((2, 1), (2,)):
        tiles = draw(st.lists(st.sampled_from([0, 3, 20, 50, 90, 127, 128]), min_size=1, max_size=40))
        rows, rng = 128 * len(tiles) - draw(st.integers(0, 127)), np.random.default_rng(draw(st.integers(0, 9)))
        levels = np.repeat(tiles, 128)[:rows].reshape(1, rows, *(1 for _ in columns))
        noise = rng.integers(0, 3, (1, rows, *columns))
        signs = rng.choice([-1, 1], (1, rows, *columns))
        result.append(np.clip(signs * (levels - noise), -128, 127).astype(np.int8))
    return result[0], result[1]


def largest_sum(codes: Ints, rows: int) -> int:
    """Of 127 times the magnitudes of a column, over any `rows` rows that follow each other."""
    sums = np.cumsum(np.abs(codes.astype(np.int64)).reshape(codes.shape[1], -1), axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    width = min(rows, codes.shape[1])
    return int(127 * (sums[width:] - sums[:-width]).max())


@settings(max_examples=200, deadline=None)
@given(weights())
def test_the_certificate_holds_wherever_a_sum_starts(both: tuple[Ints, Ints]) -> None:
    rows = exact_rows(*both)
    assert rows % 1024 == 0
    assert rows >= 1024
    assert all(largest_sum(codes, rows) <= MOST for codes in both)


@settings(max_examples=200, deadline=None)
@given(weights())
def test_the_certificate_gives_away_less_than_a_sum_and_a_tile(both: tuple[Ints, Ints]) -> None:
    rows = exact_rows(*both)
    if rows < NO_LIMIT:
        assert any(largest_sum(codes, rows + 1024 + 128) > MOST for codes in both)


def test_a_sum_may_start_within_a_tile() -> None:
    check_certificate()


def test_a_contraction_that_any_codes_can_fill_has_no_limit() -> None:
    worst = np.full((1, 1024, 2, 3), -128, np.int8), np.full((1, 1024, 3), -128, np.int8)
    assert exact_rows(*worst) == NO_LIMIT
    assert exact_rows(np.full((1, 2048, 2, 3), -128, np.int8), worst[1]) == 1024


# Claims that are not true ---------------------------------------------------------------------------------------------


def test_more_rows_than_the_weights_allow_are_refused() -> None:
    changes, _ = exact_layer(LONG_H, True, 2048)
    inputs = {name: value for name, value in build_inputs(LONG_H).items() if not name.endswith("_scale")}
    with pytest.raises(InputError, match="is at most 1024 for these weights; got 2048") as caught:
        run(LONG_H, inputs | changes)
    assert caught.value.argument == "quantization_config.exact_rows"


@pytest.mark.parametrize("claimed", [None, 1024, 2048, NO_LIMIT])
def test_as_many_as_they_allow_are_fine(claimed: int | None) -> None:
    inputs = build_inputs(CLAIMED)
    assert exact_rows(inputs["gate_up_proj_weight"], inputs["down_proj_weight"]) == NO_LIMIT
    check_inputs(**inputs, **CLAIMED.options(), quantization_config=QuantizationConfig(exact_rows=claimed))


def test_the_whole_range_of_every_expert_counts() -> None:
    inputs = build_inputs(CLAIMED)
    inputs["gate_up_proj_weight"][1, :, 1, -1] = 127
    config = QuantizationConfig(exact_rows=2048)
    with pytest.raises(InputError, match="at most 1024"):
        check_inputs(**inputs, **CLAIMED.options(), quantization_config=config)
