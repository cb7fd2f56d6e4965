"""quantize_mx and nc_matmul_mx: MX data and scales against an independent reading of the formats."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import DTYPES
from nkisim.errors import (
    AccumulationError,
    ArgumentError,
    BufferRuleError,
    DtypeError,
    NotSimulated,
    PartitionError,
    ShapeError,
    TargetError,
)

FP8 = {
    "float8_e4m3fn": (ml_dtypes.float8_e4m3fn, 8, 448.0),
    "float8_e5m2": (ml_dtypes.float8_e5m2, 15, 57344.0),
}
FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]


def quantized(values, name, spare=1):
    """(fp8 values as float32, scale codes), block by block."""
    element, largest, top = FP8[name]
    rows, columns = values.shape
    data, codes = np.empty((rows, columns), np.float32), np.empty((rows // 8, columns // 4), np.uint8)
    for r in range(0, rows, 8):
        for c in range(0, columns, 4):
            block = values[r : r + 8, c : c + 4].astype(np.float64)
            peak = np.abs(block).max()
            power = int(np.floor(np.log2(peak))) - (largest - spare) if peak else -127
            data[r : r + 8, c : c + 4] = np.clip(block / 2.0**power, -top, top).astype(np.float32).astype(element)
            codes[r // 8, c // 4] = power + 127
    return data, codes


def in_quadrants(codes, offset=0):
    """Scale rows where the hardware wants them."""
    rows = np.full((codes.shape[0] * 8, codes.shape[1]), 1, np.uint8)
    for i, row in enumerate(codes):
        rows[32 * (i // 4) + i % 4 + offset] = row
    return rows


def packed(values, name):
    """A host array of packed elements."""
    dtype = DTYPES[f"{name}_x4"].numpy
    result = np.empty((values.shape[0], values.shape[1] // 4), dtype)
    if name == "float4_e2m1fn":
        nibbles = np.array([FP4.index(v) for v in values.reshape(-1)], np.uint8).reshape(*result.shape, 2, 2)
        result["x4"] = nibbles[..., 0] | (nibbles[..., 1] << 4)
    else:
        result["x4"] = values.astype(FP8[name][0]).reshape(*result.shape, 4)
    return result


@pytest.mark.parametrize("name", FP8)
@pytest.mark.parametrize("rows", [32, 64, 128])
@pytest.mark.parametrize(("rule", "spare"), [(None, 1), ("isa", 1), ("ocp", 0)])
def test_quantizes_blocks_of_8_partitions_and_4_elements(trn3, monkeypatch, name, rows, rule, spare):
    if rule:
        monkeypatch.setenv("NKISIM_MX_SCALE_RULE", rule)
    values = (random_values((rows, 20)) * np.exp(random_values((rows, 20), seed=1) * 4)).astype(ml_dtypes.bfloat16)
    values[0:8, 0:4] = 0

    def kernel(x):
        dst = nl.ndarray((rows, 5), f"{name}_x4")
        scale = tile((rows, 5), "uint8") if rows > 32 else nl.ndarray((4, 5), nl.uint8)
        nisa.quantize_mx(dst, nl.load(x), scale)
        return store(dst), store(scale)

    data, scale = trn3.outputs(kernel, values)
    expected, codes = quantized(values, name, spare)
    np.testing.assert_array_equal(data["x4"].reshape(rows, 20).astype(np.float32), expected)
    places = [32 * (i // 4) + i % 4 for i in range(rows // 8)]
    np.testing.assert_array_equal(scale[places], codes)


def test_two_tensors_share_a_scale_tile(trn3):
    values = random_values((64, 8), np.float16)

    def kernel(x):
        scale, src = tile((64, 4), "uint8"), nl.load(x)
        for offset in (0, 4, 8, 12):
            nisa.quantize_mx(nl.ndarray((64, 2), "float8_e5m2_x4"), src, scale[offset:, 2:4])
        return store(scale)

    scale = trn3.outputs(kernel, values)
    _, codes = quantized(values, "float8_e5m2")
    for offset in (0, 4, 8, 12):
        np.testing.assert_array_equal(scale[offset : offset + 4, 2:4], codes[0:4])
        np.testing.assert_array_equal(scale[32 + offset : 36 + offset, 2:4], codes[4:8])
    assert not scale[:, 0:2].any()
    assert not scale[16:32].any()


@pytest.mark.parametrize("left", ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn"])
@pytest.mark.parametrize("right", ["float8_e4m3fn", "float4_e2m1fn"])
@pytest.mark.parametrize("rows", [32, 96])
@pytest.mark.parametrize("dst", ["float32", "bfloat16"])
def test_multiplies_dequantised_operands(trn3, left, right, rows, dst):
    rng = np.random.default_rng(3)
    values = [rng.choice(FP4, (rows, 4 * n)).astype(np.float32) for n in (6, 9)]
    codes = [rng.integers(120, 132, (rows // 8, n)).astype(np.uint8) for n in (6, 9)]

    def kernel(a, b, sa, sb):
        total, result = nl.ndarray((6, 9), dst, buffer=nl.psum), nl.ndarray((6, 9), nl.float32)
        operands = [nl.load(x) for x in (a, b, sa, sb)]
        nisa.nc_matmul_mx(total, *operands)
        nisa.nc_matmul_mx(total, *operands, accumulate=True)
        nisa.tensor_copy(result, total)
        return store(result)

    def real(v, c):
        blocks = v.reshape(rows, -1, 4) * (2.0 ** (np.repeat(c, 8, axis=0).astype(int) - 127))[:, :, None]
        return blocks.transpose(0, 2, 1).reshape(4 * rows, -1)

    got = trn3.outputs(kernel, packed(values[0], left), packed(values[1], right), *(in_quadrants(c) for c in codes))
    expected = 2 * real(values[0], codes[0]).T @ real(values[1], codes[1])
    rtol, atol = (1e-5, 1e-4) if dst == "float32" else (2e-2, 2)
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def test_quantised_operands_multiply_like_the_originals(trn3):
    a, b = (random_values((128, 4 * n), ml_dtypes.bfloat16, seed=n) for n in (8, 12))

    def kernel(x, y):
        total, scales = nl.ndarray((8, 12), nl.float32, buffer=nl.psum), nl.ndarray((128, 20), nl.float8_e8m0fnu)
        left, right = nl.ndarray((128, 8), nl.float8_e4m3fn_x4), nl.ndarray((128, 12), nl.float8_e4m3fn_x4)
        nisa.quantize_mx(left, nl.load(x), scales[4:, 0:8])
        nisa.quantize_mx(right, nl.load(y), scales[:, 8:20])
        nisa.nc_matmul_mx(total, left, right, scales[4:, 0:8], scales[:, 8:20], (0, 0), (128, 128))
        result = nl.ndarray((8, 12), nl.float32)
        nisa.tensor_copy(result, total)
        return store(result)

    flat = [v.astype(np.float32).reshape(128, -1, 4).transpose(0, 2, 1).reshape(512, -1) for v in (a, b)]
    exact = flat[0].T @ flat[1]
    error = np.linalg.norm(trn3.outputs(kernel, a, b) - exact) / np.linalg.norm(exact)
    assert 0.001 < error < 0.06


def test_a_scale_of_255_is_not_a_number(trn3):
    values, codes = packed(np.ones((32, 8), np.float32), "float8_e5m2"), np.full((4, 2), 127, np.uint8)
    codes[0, 0] = 255

    def kernel(x, s):
        total, result = nl.ndarray((2, 2), nl.float32, buffer=nl.psum), nl.ndarray((2, 2), nl.float32)
        data, scale = nl.load(x), nl.load(s)
        nisa.nc_matmul_mx(total, data, data, scale, scale)
        nisa.tensor_copy(result, total)
        return store(result)

    np.testing.assert_array_equal(np.isnan(trn3.outputs(kernel, values, codes)), [[True, True], [True, False]])


def quantize(rows=64, src="bfloat16", dst="float8_e5m2_x4", scale=None, columns=4, buffer=nl.sbuf):
    scales = tile((rows, 1), "uint8") if scale is None else scale()
    nisa.quantize_mx(tile((rows, 1), dst), tile((rows, columns), src, buffer), scales)


def test_quantize_mx_refuses(trn2, trn3, refuses, monkeypatch):
    trn3.attempt(quantize)
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(quantize)
    with refuses(PartitionError, "NKI202", "48"):
        trn3.attempt(lambda: quantize(rows=48))
    with refuses(DtypeError, "NKI103", "float32"):
        trn3.attempt(lambda: quantize(src="float32"))
    with refuses(DtypeError, "NKI103", "float4_e2m1fn_x4"):
        trn3.attempt(lambda: quantize(dst="float4_e2m1fn_x4"))
    with refuses(ShapeError, "NKI102", "(64, 8)"):
        trn3.attempt(lambda: quantize(columns=8))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn3.attempt(lambda: quantize(buffer=nl.psum))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn3.attempt(lambda: quantize(scale=lambda: psum((64, 1), "uint8")))
    with refuses(DtypeError, "NKI103", "int8"):
        trn3.attempt(lambda: quantize(scale=lambda: tile((64, 1), "int8")))
    with refuses(ShapeError, "NKI102", "(8, 1)"):
        trn3.attempt(lambda: quantize(scale=lambda: tile((8, 1), "uint8")))
    with refuses(PartitionError, "NKI202", "partition 2"):
        trn3.attempt(lambda: quantize(scale=lambda: tile((64, 1), "uint8")[2:]))
    monkeypatch.setenv("NKISIM_MX_SCALE_RULE", "other")
    with refuses(ArgumentError, "NKI101", "other"):
        trn3.attempt(quantize)


def test_quantize_mx_refuses_values_without_a_documented_scale(trn3, refuses):
    values = np.ones((32, 4), np.float16)
    values[3, 1] = np.inf
    with refuses(NotSimulated, "NKI001", "infinity"):
        trn3.compute(
            lambda dst, x: nisa.quantize_mx(dst, x, nl.ndarray((4, 1), nl.uint8)), (32, 1), "float8_e5m2_x4", values
        )


def multiply(
    rows=32, m=4, n=6, left="float8_e5m2_x4", dst=None, scale="uint8", right_rows=None, scales=None, **options
):
    a, b = tile((rows, m), left), tile((right_rows or rows, n), "float4_e2m1fn_x4")
    sa, sb = tile((rows, m), scale), tile((rows, n), scale)
    target = nl.ndarray((min(m, 128), min(n, 4096)), nl.float32, buffer=nl.psum) if dst is None else dst()
    nisa.nc_matmul_mx(target, a, b, sa if scales is None else scales(), sb, **options)


def test_nc_matmul_mx_refuses(trn2, trn3, refuses):
    trn3.attempt(multiply)
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(multiply)
    with refuses(PartitionError, "NKI202", "40"):
        trn3.attempt(lambda: multiply(rows=40))
    with refuses(ShapeError, "NKI102", "32 and 64"):
        trn3.attempt(lambda: multiply(right_rows=64))
    for m in (5, 130):
        with refuses(ShapeError, "NKI102", f"{m}"):
            trn3.attempt(lambda m=m: multiply(m=m, dst=lambda: psum((4, 6))))
    with refuses(DtypeError, "NKI103", "float8_e5m2"):
        trn3.attempt(lambda: multiply(left="float8_e5m2"))
    with refuses(DtypeError, "NKI103", "float16"):
        trn3.attempt(lambda: multiply(dst=lambda: psum((4, 6), "float16")))
    with refuses(BufferRuleError, "NKI104", "sbuf"):
        trn3.attempt(lambda: multiply(dst=lambda: tile((4, 6))))
    with refuses(DtypeError, "NKI103", "int8"):
        trn3.attempt(lambda: multiply(scale="int8"))
    with refuses(ShapeError, "NKI102", "(4, 5)"):
        trn3.attempt(lambda: multiply(dst=lambda: psum((4, 5))))
    with refuses(ShapeError, "NKI102", "(32, 3)"):
        trn3.attempt(lambda: multiply(scales=lambda: tile((32, 3), "uint8")))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn3.attempt(lambda: multiply(scales=lambda: hbm((32, 4), "uint8")))


def test_nc_matmul_mx_is_tiled_by_rows_only(trn3, refuses):
    trn3.attempt(lambda: multiply(tile_position=(32, 0), tile_size=(32, 128)))
    with refuses(ArgumentError, "NKI101", "(32, 64)"):
        trn3.attempt(lambda: multiply(tile_position=(0, 64), tile_size=(32, 64)))
    with refuses(ShapeError, "NKI102", "64"):
        trn3.attempt(lambda: multiply(rows=64, tile_position=(0, 0), tile_size=(32, 128)))


def test_nc_matmul_mx_takes_the_columns_of_all_psum_banks(trn3, refuses):
    def wide(n, dtype):
        multiply(n=n, dst=lambda: nl.ndarray((4, n), dtype, buffer=nl.psum))

    trn3.attempt(lambda: wide(4096, nl.float32))
    trn3.attempt(lambda: wide(8192, nl.bfloat16))
    with refuses(ShapeError, "NKI102", "4098"):
        trn3.attempt(lambda: multiply(n=4098))


def test_nc_matmul_mx_does_not_accumulate_onto_nothing(trn3, refuses):
    with refuses(AccumulationError, "NKI205", "never written"):
        trn3.attempt(lambda: multiply(accumulate=True))
