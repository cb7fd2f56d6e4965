# SPDX-License-Identifier: Apache-2.0
"""The rejections of the MX implementations: packed weights, their scales and sizes. Each rule as in `validate`."""

from __future__ import annotations

from typing import Any

from nkimoe.errors import RequestError, require
from nkimoe.planning.mx.coded_rows import AFFINITY_BYTES, coded_width, is_coded, packed_width
from nkimoe.planning.mx.quantization import BLOCK_SCALE_DTYPES, MX_DTYPES, MxMatrix, mx_down_of, mx_gate_up_of
from nkimoe.planning.mx.tiling import BLOCK, QUARTERS, TILE
from nkimoe.planning.problem import Problem
from nkimoe.planning.quantization import CARRIERS, check_scale, scale_shapes, type_name
from nkimoe.planning.request import Request
from nkimoe.planning.targets import Target
from nkimoe.planning.tiling import PARTITIONS, ceil_div
from nkimoe.planning.variants import BLOCKS, Variant
from nkimoe.spec import QuantizationType

TYPES = (QuantizationType.MX, QuantizationType.STATIC_MX, QuantizationType.ROW_MX)
QUANTIZED_DTYPES = {"bfloat16", "float16"}  # what quantize_mx takes
COARSE_ROWS = 128  # rows and columns of weights that share a scale with use_block128_scales
Shapes = tuple[tuple[int, ...], ...]


def mx_options(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """The options that say how weights are stored, and what is looped."""
    options: Any = request.mx_options
    kinds = ", ".join(kind.name for kind in TYPES)
    require(
        options.quantization_type in TYPES, "spec.quantization_type", f"is one of {kinds}", options.quantization_type,
        "Use MX for block scales.",
    )  # fmt: skip
    given = None if options.weight_dtype is None else str(options.weight_dtype)
    require(
        given is None or given in MX_DTYPES, "spec.weight_dtype", f"is None or one of {', '.join(MX_DTYPES)}", given,
        "None says it for uint16 (MXFP4) and uint32 (e4m3).",
    )  # fmt: skip
    require(
        not options.use_packed_scales or options.quantization_type is QuantizationType.MX, "spec.use_packed_scales",
        "packs block scales, which only QuantizationType.MX has", options.quantization_type.name, "Drop it.",
    )  # fmt: skip
    _coarse_scales(options, problem, variant)


def _coarse_scales(options: Any, problem: Problem, variant: Variant) -> None:
    name, is_coarse = "spec.use_block128_scales", options.use_block128_scales
    if not is_coarse:
        return
    kind = options.quantization_type
    require(kind is QuantizationType.MX, name, "is for block scales, which only MX has", kind.name, "Drop it.")
    require(not options.use_packed_scales, name, "excludes use_packed_scales", "both", "Choose one.")
    is_whole = variant.split == BLOCKS or problem.cores == 1 or problem.I > COARSE_ROWS
    require(
        is_whole, name, f"needs more than {COARSE_ROWS} columns of I where cores split them", f"I={problem.I}",
        "Spread the scales, or use shard_on_block_mx.",
    )  # fmt: skip


def mx_sizes(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """Whole tiles of H, whole blocks of I, and something for each core."""
    p = problem
    hint = "Pack the weights with nkimoe.weights.Mx, which pads with zeros, and pad hidden_states likewise."
    _coded_rows(request, p)
    require(p.H % TILE == 0, "hidden_states", f"H is a multiple of {TILE} for MX", f"H={p.H}", hint)
    require(p.I > 0 and p.I % BLOCK == 0, "gate_up_proj_weight", f"I is a multiple of {BLOCK} for MX", f"I={p.I}", hint)
    needed = BLOCK if variant.split == BLOCKS else BLOCK * p.cores
    require(
        needed <= p.I, "gate_up_proj_weight", f"I has {BLOCK} columns for each core", f"I={p.I}",
        "Use shard_on_block_mx, or one core.",
    )  # fmt: skip
    dtype = str(request.compute_dtype)
    require(dtype in QUANTIZED_DTYPES, "compute_dtype", "has 16 bits for MX", dtype, "Use bfloat16.")


def _coded_rows(request: Request, problem: Problem) -> None:
    p = problem
    if not is_coded(request.hidden_states):
        return
    width, actual, rest = coded_width(p.H), int(request.hidden_states.shape[1]), ""
    if request.has_packed_affinities:
        width, rest = packed_width(p.H, p.E), f", and {p.E} affinities, since expert_affinities_masked is None"
    rule = f"has {p.H} elements and {coded_width(p.H) - p.H} bytes of scales a row{rest}"
    require(actual == width, "hidden_states", rule, actual, "Make them with nkimoe.weights.quantize_rows.")
    numbers = p.rows * width // AFFINITY_BYTES
    require(not rest or numbers < 2**31, "hidden_states", "has numbers that fit int32", numbers, "Split T.")
    require(request.gate_up_in_scale is None, "gate_up_in_scale", "quantises hidden states", "MXFP8 rows", "Drop it.")


def mx_shapes(problem: Problem) -> dict[str, Shapes]:
    """Of the weights and the bias of gate and up."""
    p = problem
    tiles, width = ceil_div(p.I, TILE), min(PARTITIONS, p.I // QUARTERS)
    return {
        "gate_up_proj_weight": ((p.E, PARTITIONS, 2, p.H // TILE, p.I),),
        "down_proj_weight": ((p.E, width, tiles, p.H),),
        "gate_and_up_proj_bias": ((p.E, width, 2, tiles, QUARTERS),),
    }


def mx_quantisation(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """Types of weights, and types and shapes of their scales."""
    p = problem
    tiles, width, n = ceil_div(p.I, TILE), min(PARTITIONS, p.I // QUARTERS), p.H // TILE
    if request.mx_options.use_packed_scales:
        shapes = {
            "gate_up": (p.E, PARTITIONS, ceil_div(n, 4), 2, p.I),
            "down": (p.E, PARTITIONS, ceil_div(tiles, 4), p.H),
        }
    elif request.mx_options.use_block128_scales:
        shapes = {
            "gate_up": (p.E, 4, 2, n, ceil_div(p.I, COARSE_ROWS)), "down": (p.E, 4, tiles, ceil_div(p.H, COARSE_ROWS)),
        }  # fmt: skip
    else:
        shapes = {"gate_up": (p.E, PARTITIONS // 8, 2, n, p.I), "down": (p.E, width // 8, tiles, p.H)}
    for which, matrix, columns, matrices in (
        ("gate_up", mx_gate_up_of(request), 2 * p.I, 2), ("down", mx_down_of(request), p.H, 1),
    ):  # fmt: skip
        own = type_name(matrix.weight)
        usable = matrix.dtype in MX_DTYPES and (own == matrix.dtype or own in CARRIERS)
        require(
            usable, matrix.argument, f"is {', '.join(MX_DTYPES)} or one of the carriers {', '.join(CARRIERS)}", own,
            "Pack the weights with nkimoe.weights.Mx.",
        )  # fmt: skip
        _carrier(matrix, own)
        if matrix.scale is None:
            _blocks(f"{which}_proj_scale", matrix.blocks, shapes[which])
        else:
            _one_scale(which, matrix, scale_shapes(p.E, columns, matrices))
        _input_scale(f"{which}_in_scale", matrix, p.E)


def _carrier(matrix: MxMatrix, own: str) -> None:
    bits = {"uint16": 16, "int16": 16, "uint32": 32, "int32": 32}
    needed = 16 if matrix.dtype.startswith("float4") else 32
    require(
        own not in bits or bits[own] == needed, "spec.weight_dtype", f"has the size of {own}", matrix.dtype,
        "MXFP4 is stored in 16 bits, MXFP8 in 32.",
    )  # fmt: skip


def _blocks(name: str, scale: Any, shape: tuple[int, ...]) -> None:
    require(hasattr(scale, "shape"), name, f"holds block scales {shape}", type(scale).__name__, "Pass the e8m0 codes.")
    actual = tuple(int(n) for n in scale.shape)
    require(actual == shape, name, f"has shape {shape}", actual, "Pack the weights with nkimoe.weights.Mx.")
    dtype = str(scale.dtype)
    require(dtype in BLOCK_SCALE_DTYPES, name, f"is {' or '.join(BLOCK_SCALE_DTYPES)}", dtype, "Pass the e8m0 codes.")


def _one_scale(which: str, matrix: MxMatrix, shapes: Shapes) -> None:
    name, scale = f"{which}_proj_scale", matrix.scale
    assert scale is not None
    wanted = [shape for shape in shapes if _is_of(scale.layout, shape, which)]
    require(scale.tensor is not None, name, "is given", "None", "Pass fp32 scales.")
    check_scale(name, scale.tensor, tuple(wanted))


def _is_of(layout: str, shape: tuple[int, ...], which: str) -> bool:
    """Whether a shape of scales is one a matrix ("static") or one a column ("row")."""
    entries = 1
    for n in shape[1:]:
        entries *= n
    return (entries == (2 if which == "gate_up" else 1)) == (layout == "static")


def _input_scale(name: str, matrix: MxMatrix, E: int) -> None:
    if matrix.in_scale is not None:
        if matrix.scale is None:
            raise RequestError(
                name, "is for STATIC_MX and ROW_MX; otherwise activations get block scales on chip", "a scale",
                "Drop it, or pass quantization_type.",
            )  # fmt: skip
        check_scale(name, matrix.in_scale, ((E, 1), (E,), (1, 1), (1,)))
