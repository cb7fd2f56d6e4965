"""Packed weights go through the simulator's MX matmul, in x4 and in carrier types, as their values say."""

import nki.isa as nisa
import nki.language as nl
import numpy as np
import pytest
from support.device import store

import nkisim
from nkimoe.weights import MX_FORMATS, Expert, Mx, as_carrier, natural_layout, pack_scales
from nkimoe.weights.mx_scale import quantize_blocks

H, I, TOKENS = 1024, 64, 16


@pytest.fixture(scope="module")
def expert() -> Expert:
    values = np.random.default_rng(0).standard_normal((H, 2, I), dtype=np.float32)
    return Expert(values, np.ones((I, H), np.float32))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """bf16 [TOKENS, H], exact in MXFP8 whatever its block."""
    return np.random.default_rng(1).integers(-8, 9, (TOKENS, H)).astype(nl.bfloat16.numpy)


def on_partitions(x: np.ndarray) -> np.ndarray:
    """[128, H/512, TOKENS * 4] of the hidden states, as the kernel gathers and transposes them."""
    placed = natural_layout(H, I).arrange_hidden(x).reshape(TOKENS, 4, H // 512, 128)
    return np.ascontiguousarray(placed.transpose(3, 2, 0, 1)).reshape(128, H // 512, -1)


def project(weight, tokens, scale_of_tile):
    """[I, TOKENS]; weight x4 [128, H/512, I]; scale_of_tile(h) is the scale tile of part h, in SBUF."""
    total = nl.ndarray((I, TOKENS), nl.float32, buffer=nl.psum)
    for h in range(H // 512):
        moving, moving_scale = nl.ndarray((128, TOKENS), nl.float8_e4m3fn_x4), nl.ndarray((128, TOKENS), nl.uint8)
        nisa.memset(moving_scale, 0)
        nisa.quantize_mx(moving, nl.load(tokens[:, h]), moving_scale)
        nisa.nc_matmul_mx(total, nl.load(weight[:, h]), moving, scale_of_tile(h), moving_scale)
    return store(nl.copy(total))


def kernel(weight, scale, tokens, dtype):
    def scale_of_tile(h):
        placed = nl.ndarray((128, I), nl.uint8)
        nisa.memset(placed, 0)
        for quadrant in range(4):
            nisa.dma_copy(placed[32 * quadrant : 32 * quadrant + 4], scale[4 * quadrant : 4 * quadrant + 4, h])
        return placed

    return project(weight.view(dtype), tokens, scale_of_tile)


def kernel_with_packed_scales(weight, scale, tokens):
    buffer = nl.load(scale)
    return project(weight, tokens, lambda h: buffer[4 * h :])


@pytest.mark.parametrize("name", MX_FORMATS)
@pytest.mark.parametrize("given", [lambda packed: packed, as_carrier], ids=["x4", "carrier"])
def test_a_projection_computes_what_the_unpacked_weights_say(name, given, expert, x):
    packed = Mx(name).pack_expert(expert)
    weight = given(np.ascontiguousarray(packed["gate_up_proj_weight"][:, 0]))
    scale = np.ascontiguousarray(packed["gate_up_proj_scale"][:, 0])
    got = nkisim.Simulator("trn3").run(kernel, weight, scale, on_partitions(x), MX_FORMATS[name].nki).outputs
    real = Mx(name).unpack_expert(packed, H, I)
    np.testing.assert_allclose(got, (x.astype(np.float32) @ real.gate_up[:, 0]).T, rtol=1e-5, atol=1e-3)


def test_packed_scales_are_read_in_place(expert, x):
    packed = Mx("mxfp4").pack_expert(expert)
    weight = np.ascontiguousarray(packed["gate_up_proj_weight"][:, 1])
    scale = np.ascontiguousarray(pack_scales(packed["gate_up_proj_scale"][None])[0, :, 0, 1])
    got = nkisim.Simulator("trn3").run(kernel_with_packed_scales, weight, scale, on_partitions(x)).outputs
    real = Mx("mxfp4").unpack_expert(packed, H, I)
    np.testing.assert_allclose(got, (x.astype(np.float32) @ real.gate_up[:, 1]).T, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", ["mxfp8", "mxfp8-e5m2"])
@pytest.mark.parametrize(("ours", "simulated"), [("isa", "isa"), ("floor", "ocp")])
def test_the_host_quantises_as_the_device_does(name, ours, simulated, monkeypatch):
    monkeypatch.setenv("NKISIM_MX_SCALE_RULE", simulated)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((128, 32)) * np.exp(4 * rng.standard_normal((128, 32)))
    values[8:16, :4] = 0

    def quantise(source, dtype):
        data, scale = nl.ndarray((128, 8), dtype), nl.ndarray((128, 8), nl.uint8)
        nisa.memset(scale, 0)
        nisa.quantize_mx(data, nl.load(source), scale)
        return store(data), store(scale)

    source = values.astype(nl.bfloat16.numpy)
    data, scale = nkisim.Simulator("trn3").run(quantise, source, MX_FORMATS[name].nki).outputs
    elements, codes = quantize_blocks(source.reshape(16, 8, 8, 4), MX_FORMATS[name], ours, "w")
    np.testing.assert_array_equal(
        MX_FORMATS[name].unpack(data).view(np.uint8), elements.view(np.uint8).reshape(128, 8, 4)
    )
    np.testing.assert_array_equal(np.concatenate([scale[32 * q : 32 * q + 4] for q in range(4)]), codes)
