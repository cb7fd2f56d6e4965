"""MX quantisation agrees bit for bit with torchao."""

import warnings

import numpy as np
import pytest

from nkimoe.weights import MXFP4, MXFP8, MXFP8_E5M2, MxFormat
from nkimoe.weights.mx_scale import quantize_blocks

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mx_tensor = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    from torchao.prototype.mx_formats.config import ScaleCalculationMode

ELEMENTS = {MXFP4: torch.float4_e2m1fn_x2, MXFP8: torch.float8_e4m3fn, MXFP8_E5M2: torch.float8_e5m2}
FORMATS = pytest.mark.parametrize("mx", ELEMENTS, ids=lambda mx: mx.name)


def by_torchao(values: np.ndarray, mx: MxFormat, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the elements and scale codes of [blocks, 32] values."""
    mode = ScaleCalculationMode[rule.upper()]
    scale, data = mx_tensor.to_mx(torch.from_numpy(values), ELEMENTS[mx], 32, mode)
    codes = data.view(torch.uint8).numpy()
    if mx is MXFP4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(values), 32)
    return codes, scale.view(torch.uint8).numpy()[:, 0]


def by_nkimoe(values: np.ndarray, mx: MxFormat, rule: str) -> tuple[np.ndarray, np.ndarray]:
    elements, scale = quantize_blocks(values.reshape(-1, 8, 4), mx, rule, "w")
    return elements.view(np.uint8).reshape(len(values), 32), scale


def agree(values: np.ndarray, mx: MxFormat, rule: str) -> None:
    for ours, theirs in zip(by_nkimoe(values, mx, rule), by_torchao(values, mx, rule), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@FORMATS
@pytest.mark.parametrize("rule", ["floor", "ceil", "rceil", "even"])
@pytest.mark.parametrize("spread", [0, 3])
def test_random_blocks_agree(mx, rule, spread):
    rng = np.random.default_rng(spread)
    values = rng.standard_normal((20_000, 32)) * np.exp(spread * rng.standard_normal((20_000, 32)))
    agree((values * np.exp(10 * rng.standard_normal((20_000, 1)))).astype(np.float32), mx, rule)


@FORMATS
@pytest.mark.parametrize("rule", ["floor", "ceil", "rceil", "even"])
def test_ties_zeros_powers_of_two_and_the_largest_values_agree(mx, rule):
    interesting = [0.0, -0.0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6, 7, 239, 240, 244, 248, 256, 447, 448, 449, 464]
    interesting += [57344, 61440, 65504, 2.0**-9, 2.0**-10, 3 * 2.0**-10, 2.0**-16, 2.0**-17]
    rows = [np.zeros(32), *(np.full(32, v) for v in interesting)]
    rows += [np.resize(np.array([peak, *interesting]), 32).clip(-peak, peak) for peak in interesting[2:]]
    agree(np.array(rows, np.float32), mx, rule)
    agree(-np.array(rows, np.float32), mx, rule)


@FORMATS
@pytest.mark.parametrize("rule", ["floor", "ceil", "rceil", "even"])
def test_blocks_below_the_smallest_scale_differ_only_in_their_values(mx, rule):
    """torchao divides them by something else than the scale it stores; the scales agree."""
    values = np.random.default_rng(0).standard_normal((100, 32)).astype(np.float32) * np.float32(2.0**-135)
    ours, theirs = (quantise(values, mx, rule) for quantise in (by_nkimoe, by_torchao))
    np.testing.assert_array_equal(ours[1], 0)
    np.testing.assert_array_equal(theirs[1], 0)
