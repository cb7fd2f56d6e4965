"""Stages of int8 in kernels of their own, and layers in which one rounding too many would be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np
import numpy.typing as npt

from nkimoe import ActFnType, QuantizationConfig
from nkimoe.kernels.stages.exact_factor import exact_factor, short_factor
from nkimoe.kernels.stages.exact_scale import exact_scale
from nkimoe.kernels.stages.int8.code_rows import token_codes
from nkimoe.kernels.stages.int8.codes import InOrder
from nkimoe.kernels.stages.int8.exact_sum import ExactSum
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans
from nkimoe.weights.int8 import exact_rows
from nkisim import Simulator
from support.case import Case
from support.inputs import DTYPES, build_inputs
from support.launch import run

Ints = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
LARGEST = 127
NO_LIMIT = 1 << 30
EXACT = Case(
    T=40, E=1, K=1, biases="none", dtype="float16", weights="int8", int8_inputs=True, skip_gate=True,
    activation=ActFnType.ReLU, padding_blocks=0,
)  # fmt: skip
LONG_H, LONG_I = replace(EXACT, H=7168, I=32), replace(EXACT, H=128, I=16384)


@nki.jit
def _exact_sums(stationary: Any, moving: Any, contraction: int, piece: int, exact_rows: int) -> Any:
    operands = []
    for given in (stationary, moving):
        operands.append(nl.ndarray(given.shape, dtype=given.dtype, buffer=nl.sbuf))
        nisa.dma_copy(dst=operands[-1], src=given)
    shape = (stationary.shape[2], moving.shape[2])
    total = ExactSum(*shape, contraction, exact_rows)
    for rows in spans(contraction, piece):
        tiles = slice(rows.start // PARTITIONS, ceil_div(rows.stop, PARTITIONS))
        total.add(operands[0][:, tiles, :], operands[1][:, tiles, :], rows)
    values = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=values, src=total.total())
    out = nl.ndarray(shape, dtype=nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=values)
    return out


def exact_sums(stationary: Ints, moving: Ints, exact_rows: int, piece: int) -> Floats:
    """stationary.T @ moving of codes [rows, M] and [rows, N] by `ExactSum`, `piece` rows of whole tiles a call."""
    rows = len(stationary)
    tiled = [
        np.pad(each, ((0, -rows % PARTITIONS), (0, 0))).reshape(-1, PARTITIONS, each.shape[1]).swapaxes(0, 1)
        for each in (stationary, moving)
    ]
    operands = [each.astype(DTYPES["bfloat16"]) for each in tiled]
    result: Floats = Simulator("trn2").run(_exact_sums, *operands, rows, piece, exact_rows).outputs
    return result


@nki.jit
def _quotients(amax: Any) -> Any:
    out = nl.ndarray((3, *amax.shape), dtype=nl.float32, buffer=nl.shared_hbm)
    given = nl.ndarray(amax.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=given, src=amax)
    for which, quotient in enumerate((short_factor, exact_factor, exact_scale)):
        nisa.dma_copy(dst=out[which], src=quotient(given, LARGEST))
    return out


def quotients(amax: Floats) -> Floats:
    """`short_factor`, `exact_factor` and `exact_scale` of amax [128, n]: [3, 128, n]."""
    result: Floats = Simulator("trn2").run(_quotients, amax).outputs
    return result


def check_quotients() -> None:
    """127 / amax and amax / 127 of numbers of bf16 and fp16, over the whole range of a limited maximum."""
    rng = np.random.default_rng(0)
    bf16 = (rng.integers(0x33D7, 0x7F00, (PARTITIONS, 30)).astype(np.uint32) << 16).view(np.float32)
    fp16 = rng.integers(0x0002, 0x7C00, (PARTITIONS, 30)).astype(np.uint16).view(np.float16).astype(np.float32)
    amax = np.concatenate([bf16, fp16], axis=1)
    largest = np.float32(LARGEST)
    for found, expected in zip(quotients(amax), (largest / amax, largest / amax, amax / largest), strict=True):
        np.testing.assert_array_equal(found, expected)


@nki.jit
def _coded_rows(rows: Any) -> Any:
    return token_codes(rows, [Span(0, rows.shape[1])], InOrder())


def check_token_codes() -> None:
    """Codes and scales of rows in whole pairs of tiles, in an odd number of them, in a part of one, on both cores."""
    rng = np.random.default_rng(0)
    for tokens in (512, 700, 300, 40):
        rows = (rng.standard_normal((tokens, 256)) * rng.integers(1, 50, (tokens, 1))).astype(DTYPES["bfloat16"])
        found = Simulator("trn2", 2).run(_coded_rows, rows).outputs
        amax = np.abs(rows.astype(np.float32)).max(axis=1, keepdims=True)
        np.testing.assert_array_equal(found[:, 256:].copy().view(np.float32), amax / np.float32(LARGEST))
        codes = np.rint(rows.astype(np.float32) * (np.float32(LARGEST) / amax)).astype(np.int8)
        np.testing.assert_array_equal(found[:, :256], codes)


def check_exact_sums() -> None:
    """Codes whose sums are large and odd, added in pieces that are cut by a limit, and that end with it."""
    rng = np.random.default_rng(0)
    for rows, limit, piece in ((1000, 1024, 1024), (2048, 1024, 640), (3000, 1024, 3072), (7168, 2048, 640)):
        largest = 127 if limit == 1024 else 63
        stationary = rng.integers(100, 128, (rows, 32)).astype(np.int8)
        moving = rng.integers(largest - 20, largest + 1, (rows, 40)).astype(np.int8)
        found = exact_sums(stationary, moving, limit, piece)
        np.testing.assert_array_equal(found, as_int32_gives(stationary, moving))


def as_int32_gives(stationary: Ints, moving: Ints) -> Floats:
    """stationary.T @ moving, rounded once."""
    result: Floats = (stationary.astype(np.int64).T @ moving.astype(np.int64)).astype(np.float32)
    return result


def check_exact_layers() -> None:
    """The long contraction is that over H, then that over I."""
    for case, long_hidden in ((LONG_H, True), (LONG_I, False)):
        changes, expected = exact_layer(case, long_hidden)
        np.testing.assert_array_equal(run(case, build_inputs(case) | changes).output.astype(np.float32), expected)


def check_certificate() -> None:
    """`exact_rows` of weights whose codes are all the same; 2048 rows hold 64, and wherever they start 60."""
    for gate_up, down, expected in ((60, 1, 2048), (1, -60, 2048), (62, 1, 1024), (-128, 1, 1024), (1, 1, NO_LIMIT)):
        found = exact_rows(np.full((1, 4224, 2, 1), gate_up, np.int8), np.full((1, 4224, 1), down, np.int8))
        assert found == expected, (found, expected)


def exact_layer(case: Case, long_hidden: bool, exact_rows: int | None = None) -> tuple[dict[str, Any], Floats]:
    """Changes of a case's arguments and its result [T, H], which is exact in fp16.

    One contraction begins with small numbers; then come codes of +-127 that cancel, and that no fp32 could hold along
    with the small ones: one of them is lost wherever a sum is rounded. All scales are powers of two.

    Args:
        case: in fp16, one expert, without a gate, with ReLU.
        long_hidden: the long contraction is that over H, else that over I.
    """
    rng = np.random.default_rng(case.seed)
    x = _long_rows(rng, (case.T, case.H)) if long_hidden else rng.integers(-1, 2, (case.T, case.H))
    x[:, 0] = LARGEST
    up = _cancelling(rng, (case.H, case.I)) if long_hidden else rng.integers(-1, 2, (case.H, case.I))
    up[:, 0] = 0
    up[0] = 0
    up[0, 0] = 1  # the first column of I is 127 in every row: the scale of its codes is a power of two
    down = rng.integers(-1, 2, (case.I, case.H))
    if not long_hidden:
        up[:, PARTITIONS:] = 0
        up[0, PARTITIONS:] = 1
        down = _cancelling(rng, (case.I, case.H))
    result = np.maximum(x @ up, 0) @ down
    assert np.abs(result).max() <= 2048, "exact in fp16"
    changes = {
        "hidden_states": x.astype(np.float16),
        "gate_up_proj_weight": np.stack([np.zeros_like(up), up], axis=1)[None].astype(np.int8),
        "down_proj_weight": down[None].astype(np.int8),
        "gate_up_proj_scale": np.full((1, 1, 2 * case.I), 0.25, np.float32),
        "down_proj_scale": np.full((1, 1, case.H), 0.125, np.float32),
    }
    if exact_rows is not None:
        scales = (changes.pop(name) for name in ("gate_up_proj_scale", "down_proj_scale"))
        changes["quantization_config"] = QuantizationConfig(*scales, exact_rows)
    expected: Floats = result.astype(np.float32) / 32
    return changes, expected


def _long_rows(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    x = np.full(shape, LARGEST)
    x[:, :PARTITIONS] = rng.integers(-1, 2, (shape[0], PARTITIONS))
    return x


def _cancelling(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Columns whose first tile is small, and whose other tiles are all 127, then all -127."""
    weight = np.zeros(shape, np.int64)
    weight[:PARTITIONS] = rng.integers(-1, 2, (PARTITIONS, shape[1]))
    half = (shape[0] - PARTITIONS) // 2
    weight[PARTITIONS : PARTITIONS + half] = LARGEST
    weight[PARTITIONS + half : PARTITIONS + 2 * half] = -LARGEST
    return weight
