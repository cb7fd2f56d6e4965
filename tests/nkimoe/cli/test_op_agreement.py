"""Whether a result is right is said in numbers, and NaN is never right."""

import ml_dtypes
import numpy as np
import pytest

from nkimoe.cli.op.agreement import Agreement, close, equal, experts_agree, rows_agree

CODES = np.tile(np.arange(-127, 128, dtype=np.int8), 1000).reshape(1000, 255)
SCALES = np.full(1000, 0.5, np.float32)


def verdicts(codes: np.ndarray, scales: np.ndarray, **options: float) -> list[bool]:
    return [each.holds for each in rows_agree((codes, scales), (CODES, SCALES), **options)]


def changed(count: int, by: int) -> np.ndarray:
    codes = CODES.copy()
    codes[:count, 100] += by
    return codes


@pytest.mark.parametrize(
    ("codes", "verdict"),
    [
        (CODES, [True, True, True]),
        (changed(2, 1), [True, True, True]),  # of 255,000
        (changed(3, 1), [False, True, True]),
        (changed(1, 2), [True, False, True]),
    ],
)
def test_few_codes_may_differ_by_one(codes: np.ndarray, verdict: list[bool]) -> None:
    assert verdicts(codes, SCALES) == verdict


def test_where_codes_are_the_definitions_none_may_differ() -> None:
    assert verdicts(changed(1, 1), SCALES, most_unequal=0) == [False, True, True]
    assert verdicts(CODES, SCALES, most_unequal=0) == [True, True, True]


def test_one_code_of_a_few_may_differ() -> None:
    few = (CODES[:1], SCALES[:1])
    assert all(each.holds for each in rows_agree((changed(1, 1)[:1], SCALES[:1]), few))


@pytest.mark.parametrize(("ulps", "holds"), [(2, True), (-2, True), (3, False), (1 << 22, False)])
def test_scales_may_differ_by_two_ulps(ulps: int, holds: bool) -> None:
    scales = SCALES.copy()
    scales.view(np.int32)[7] += ulps
    assert verdicts(CODES, scales) == [True, True, holds]


def test_a_scale_that_is_no_number_is_wrong() -> None:
    scales = SCALES.copy()
    scales[3] = np.nan
    assert verdicts(CODES, scales) == [True, True, False]


def test_fp8_codes_are_neighbours_in_the_order_of_their_numbers() -> None:
    values = np.array([[-0.0, 1.0, -240.0, 3.0]], ml_dtypes.float8_e4m3)
    for index, bits in ((0, 0x80), (1, 0x01), (2, 0x01)):  # -0 and 0 are one number
        others = values.copy()
        others.view(np.uint8)[0, index] ^= np.uint8(bits)
        agreements = rows_agree((others, SCALES[:1]), (values, SCALES[:1]))
        assert [each.found for each in agreements[:2]] == ([0, 0] if index == 0 else [1, 1])


def test_integers_have_one_right_answer() -> None:
    assert equal("ids", np.arange(4), np.arange(4)).holds
    assert str(equal("ids", np.arange(4), np.array([0, 1, 3, 2]))) == "ids that differ: 2 (at most 0)"


@pytest.mark.parametrize(("found", "holds"), [(0.5, True), (0.5 + 4e-7, True), (0.51, False), (np.nan, False)])
def test_weights_are_close_or_not(found: float, holds: bool) -> None:
    assert close("weights", np.array([found], np.float32), np.array([0.5], np.float32), 2e-6).holds is holds


def test_what_is_not_a_number_does_not_hold() -> None:
    assert not Agreement("anything", float("nan"), 1.0).holds


def test_a_wrong_row_of_experts_is_found_however_small_it_is() -> None:
    rows = np.random.default_rng(0).standard_normal((1000, 64)).astype(ml_dtypes.bfloat16)
    rows[7] *= ml_dtypes.bfloat16(1e-3)
    assert [each.holds for each in experts_agree(rows, rows, 0, 64)] == [True, True]
    wrong = rows.copy()
    wrong[7] = -wrong[7]
    assert [each.holds for each in experts_agree(wrong, rows, 0, 64)] == [True, False]
    wrong[7, 0] = np.nan
    assert [each.holds for each in experts_agree(wrong, rows, 0, 64)] == [False, False]
