# SPDX-License-Identifier: Apache-2.0
"""Weights on the host: reading checkpoints, quantising, and packing into the layouts the kernels take.

Needs NumPy and ml_dtypes only.
"""

from nkimoe.weights.checkpoint import Checkpoint, Router
from nkimoe.weights.dense_arguments import dense_arguments
from nkimoe.weights.expert import Expert, Shard
from nkimoe.weights.formats import MX_FORMATS, MXFP4, MXFP8, MXFP8_E5M2, MxFormat, as_carrier
from nkimoe.weights.fp8 import FP8_OF_TARGET, Fp8Row, Fp8Static
from nkimoe.weights.fp8_blocks import Fp8Block, Fp8BlockExpert
from nkimoe.weights.int8 import Int8, exact_rows, int8_arguments, quantize_int8
from nkimoe.weights.int8_expert import CodedExpert
from nkimoe.weights.legacy_e4m3 import Rounding, legacy_blocks, legacy_fp8, to_legacy_e4m3
from nkimoe.weights.mx import KeepMxfp4Blocks, Mx, unpack_mx
from nkimoe.weights.mx_layout import MxLayout, block_layout, natural_layout, pack_scales
from nkimoe.weights.mx_rows import dequantize_rows, quantize_rows
from nkimoe.weights.mx_scale import SCALE_RULES
from nkimoe.weights.mxfp4_expert import Mxfp4Expert
from nkimoe.weights.output_blocks import Fp8OutputBlock, Requantisation
from nkimoe.weights.packed_checkpoint import pack_checkpoint
from nkimoe.weights.packed_files import read_layer
from nkimoe.weights.packing import PACKING_NAMES, Packing, Plain, experts_of, pack, packing_named, unpack

__all__ = [
    "FP8_OF_TARGET",
    "MXFP4",
    "MXFP8",
    "MXFP8_E5M2",
    "MX_FORMATS",
    "PACKING_NAMES",
    "SCALE_RULES",
    "Checkpoint",
    "CodedExpert",
    "Expert",
    "Fp8Block",
    "Fp8BlockExpert",
    "Fp8OutputBlock",
    "Fp8Row",
    "Fp8Static",
    "Int8",
    "KeepMxfp4Blocks",
    "Mx",
    "MxFormat",
    "MxLayout",
    "Mxfp4Expert",
    "Packing",
    "Plain",
    "Requantisation",
    "Rounding",
    "Router",
    "Shard",
    "as_carrier",
    "block_layout",
    "dense_arguments",
    "dequantize_rows",
    "exact_rows",
    "experts_of",
    "int8_arguments",
    "legacy_blocks",
    "legacy_fp8",
    "natural_layout",
    "pack",
    "pack_checkpoint",
    "pack_scales",
    "packing_named",
    "quantize_int8",
    "quantize_rows",
    "read_layer",
    "to_legacy_e4m3",
    "unpack",
    "unpack_mx",
]
