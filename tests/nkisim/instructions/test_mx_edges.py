"""quantize_mx at the edges of its formats, decoded by the definition of MX, and against torchao where it is there."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from support.device import random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import PartitionError
from nkisim.operations import mx

# name: exponent bits, fraction bits, largest exponent, largest finite value
FORMATS = {"float8_e4m3fn": (4, 3, 8, 448.0), "float8_e5m2": (5, 2, 15, 57344.0)}
RULES = {"isa": 1, "ocp": 0}


def quantised(device, monkeypatch, blocks, name, rule):
    """(element bytes [blocks, 32], scale bytes [blocks]) of blocks [n, 32] of bf16 or fp16, one a column of 8 rows."""
    monkeypatch.setenv("NKISIM_MX_SCALE_RULE", rule)
    count = len(blocks)
    values = np.zeros((32, 4 * count), blocks.dtype)
    values[:8] = blocks.reshape(count, 8, 4).transpose(1, 0, 2).reshape(8, -1)

    def kernel(x):
        dst, scale = nl.ndarray((32, count), f"{name}_x4"), nl.ndarray((4, count), nl.uint8)
        nisa.quantize_mx(dst, nl.load(x), scale)
        return store(dst), store(scale)

    data, scale = device.outputs(kernel, values)
    return data[:8].view(np.uint8).reshape(8, count, 4).transpose(1, 0, 2).reshape(count, 32), scale[0]


def decoded(byte, name):
    """The exact value of one fp8 byte."""
    exponent_bits, fraction_bits, _, _ = FORMATS[name]
    exponent, fraction = byte >> fraction_bits & 2**exponent_bits - 1, byte & 2**fraction_bits - 1
    if exponent:
        fraction += 2**fraction_bits
    power = max(exponent, 1) - (2 ** (exponent_bits - 1) - 1) - fraction_bits
    return Fraction(-1 if byte & 0x80 else 1) * fraction * Fraction(2) ** power


def expected_scale(block, name, rule):
    """log2 of the block's scale, exactly."""
    peak = max(abs(Fraction(float(v))) for v in block)
    if peak == 0:
        return -127
    power = math.frexp(float(peak))[1] - 1
    return max(power - (FORMATS[name][2] - RULES[rule]), -127)


def edge_blocks():
    """Blocks whose largest magnitudes are the ones that go wrong: powers of two, ends of formats, tiny and zero."""
    peaks = [0.0, 1.0, 2.0**-14, 448.0, 449.0, 464.0, 480.0, 512.0, 240.0, 255.0, 256.0, 57344.0, 61440.0, 1.99, 1e-3]
    peaks += [2.0**-126, 2.0**-130, 2.0**-133, float.fromhex("0x1.fep127")]
    blocks = np.zeros((len(peaks), 32), ml_dtypes.bfloat16)
    spread = np.random.default_rng(5).uniform(-1, 1, (len(peaks), 31))
    blocks[:, 0] = peaks
    blocks[:, 1:] = np.asarray(peaks)[:, None] * spread
    return blocks


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rule", RULES)
def test_a_block_decodes_to_itself_within_half_a_step(trn3, monkeypatch, name, rule):
    blocks = edge_blocks()
    data, scales = quantised(trn3, monkeypatch, blocks, name, rule)
    _, fraction_bits, _, largest = FORMATS[name]
    smallest = Fraction(2) ** (1 - (2 ** (FORMATS[name][0] - 1) - 1))
    for block, row, code in zip(blocks, data, scales, strict=True):
        power = expected_scale(block, name, rule)
        assert code == power + 127
        for value, byte in zip(block, row, strict=True):
            wanted = Fraction(float(value)) / Fraction(2) ** power
            clipped = min(max(wanted, -Fraction(largest)), Fraction(largest))
            magnitude = max(abs(clipped), smallest)
            step = Fraction(2) ** (math.frexp(float(magnitude))[1] - 1 - fraction_bits)
            assert abs(decoded(int(byte), name) - clipped) <= step / 2
            assert rule == "ocp" or clipped == wanted  # the documented rule leaves room: nothing saturates


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rule", RULES)
def test_torchao_gives_the_same_elements_and_scales(trn3, monkeypatch, name, rule):
    """Its FLOOR scale is the OCP sample conversion; the documented scale is one power of two above it."""
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    modes = pytest.importorskip("torchao.prototype.mx_formats.config")
    blocks = np.concatenate([random_values((60, 32)) * np.exp(3 * random_values((60, 1), seed=1)), edge_blocks()[:15]])
    blocks = blocks.astype(ml_dtypes.bfloat16)
    data, scales = quantised(trn3, monkeypatch, blocks, name, rule)
    given = torch.from_numpy(blocks.view(np.int16).copy()).view(torch.bfloat16)
    scale, element = peer.to_mx(given, getattr(torch, name), 32, modes.ScaleCalculationMode.FLOOR)
    empty = (blocks == 0).all(axis=1)
    codes = scale.view(torch.uint8).numpy().reshape(-1)
    np.testing.assert_array_equal(scales, np.where(empty, codes, codes + RULES[rule]))
    if rule == "isa":  # torch's own conversion of the same quotients
        powers = torch.from_numpy(scales.astype(np.int32) - 127)[:, None]
        element = torch.ldexp(given.to(torch.float32), -powers).to(getattr(torch, name))
    np.testing.assert_array_equal(data, element.view(torch.uint8).numpy())


def test_every_fp4_code_has_the_value_of_its_bits():
    def value(code):
        exponent, fraction = code >> 1 & 3, code & 1
        magnitude = fraction / 2 if exponent == 0 else (1 + fraction / 2) * 2.0 ** (exponent - 1)
        return math.copysign(magnitude, -1 if code & 8 else 1)

    every = np.arange(65536, dtype=np.uint16).view(nl.float4_e2m1fn_x4.numpy).reshape(1, -1)
    pattern = np.arange(65536)
    expected = np.stack([np.array([value(c) for c in range(16)])[pattern >> 4 * i & 15] for i in range(4)], axis=1)
    np.testing.assert_array_equal(mx.unpack(every)[0].T, expected)
    np.testing.assert_array_equal(np.signbit(mx.unpack(every)[0].T), np.signbit(expected))


@pytest.mark.parametrize("name", FORMATS)
def test_every_scale_multiplies_every_element(trn3, name):
    """A product with the identity: element times power of two, in fp32, for all 256 elements and a spread of scales."""
    elements = np.arange(256, dtype=np.uint8)
    exact = elements.view(getattr(ml_dtypes, name)).astype(np.float64)
    numbers = elements[np.isfinite(exact)][:248]
    codes = [1, 100, 126, 127, 128, 150, 230]
    packed = np.zeros((32, 62), nl.float8_e4m3fn_x4.numpy if name == "float8_e4m3fn" else nl.float8_e5m2_x4.numpy)
    packed[0] = numbers.reshape(62, 4).view(packed.dtype).reshape(-1)
    one = np.zeros((32, 4), nl.float8_e5m2_x4.numpy)
    one["x4"][0] = np.eye(4, dtype=ml_dtypes.float8_e5m2)

    def kernel(x, y, s):
        left, right, scale = nl.load(y), nl.load(x), nl.load(s)
        total, result = nl.ndarray((4, 62), nl.float32, buffer=nl.psum), nl.ndarray((4, 62), nl.float32)
        nisa.nc_matmul_mx(total, left, right, tile_of_ones(4), scale)
        nisa.tensor_copy(result, total)
        return store(result)

    def tile_of_ones(columns):
        made = tile((4, columns), "uint8")
        nisa.memset(made, 127)
        return made

    for code in codes:
        got = trn3.outputs(kernel, packed, one, np.full((4, 62), code, np.uint8))
        expected = exact[numbers].reshape(62, 4).T * math.ldexp(1, code - 127)
        np.testing.assert_array_equal(got, expected.astype(np.float32))


def test_scales_with_an_address_are_in_the_quadrants_of_their_data(trn3, refuses):
    def quantise(partition):
        src = nl.ndarray((32, 4), nl.bfloat16, address=(32, 0))
        nisa.memset(src, 1)
        scale = nl.ndarray((4, 1), nl.uint8, address=(partition, 64))
        nisa.quantize_mx(nl.ndarray((32, 1), nl.float8_e4m3fn_x4, address=(32, 128)), src, scale)

    trn3.attempt(lambda: quantise(32))
    with refuses(PartitionError, "NKI202", "partition 64"):
        trn3.attempt(lambda: quantise(64))
