# SPDX-License-Identifier: Apache-2.0
"""nki-library's kernels from a checkout, called with a step's shapes."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.prefill.steps import ATTENTION, MLP, NORM_QKV, OUTPUT

PACKAGE = Path("src", "nkilib_src")
MOST_HEAD_COLUMNS = 128  # that its attention takes
Call = tuple[Callable[..., Any], dict[str, Any]]


@dataclass(frozen=True)
class Checkout:
    """A clone of nki-library.

    Attributes:
        folder: of it.
        digest: of the text of its package: another version is simulated again.
    """

    folder: Path
    digest: str

    @classmethod
    def of(cls, folder: Path) -> Checkout:
        """Raises:
        InputError: the folder does not hold the package.
        """
        root = folder / PACKAGE
        if not (root / "nkilib").is_dir():
            fix = "Give the folder of a clone of nki-library."
            raise InputError("nkilib", f"holds {PACKAGE}/nkilib", folder, fix)
        digest = hashlib.sha256()
        for file in sorted(root.rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
        return cls(folder.resolve(), digest.hexdigest()[:16])


def has_kernel(kind: str, size: Mapping[str, int]) -> bool:
    """Whether the package's kernel takes such a step."""
    if kind in (ATTENTION, NORM_QKV):
        return size["query_columns"] == size["value_columns"] <= MOST_HEAD_COLUMNS
    return kind in CALLS


def library_call(folder: Path, kind: str, tokens: int, size: Mapping[str, int]) -> Call:
    """The kernel and its arguments, which take no memory: one zero, seen everywhere."""
    root = str(folder / PACKAGE)
    if root not in sys.path:
        sys.path.insert(0, root)
    with contextlib.redirect_stdout(io.StringIO()):  # importing prints
        return CALLS[kind](tokens, size)


def _norm_qkv(tokens: int, size: Mapping[str, int]) -> Call:
    H, heads, kv_heads, d = size["hidden"], size["heads"], size["kv_heads"], size["query_columns"]
    types = _module("utils.common_types")
    arguments = {
        "input": _zeros(1, tokens, H), "fused_qkv_weights": _zeros(H, (heads + 2 * kv_heads) * d),
        "output_layout": types.QKVOutputLayout.BSD, "fused_norm_type": types.NormType.RMS_NORM,
        "gamma_norm_weights": _zeros(1, H), "fused_rope": True, "cos_cache": _zeros(1, tokens, d),
        "sin_cache": _zeros(1, tokens, d), "d_head": d, "num_q_heads": heads, "num_kv_heads": kv_heads,
    }  # fmt: skip
    return _module("qkv.qkv_cte").qkv_cte, arguments


def _attention(tokens: int, size: Mapping[str, int]) -> Call:
    d, prompts = size["query_columns"], size["prompts"]
    keys = prompts * size["kv_heads"]
    arguments: dict[str, Any] = {
        "q": _zeros(prompts * size["heads"], tokens, d), "k": _zeros(keys, d, tokens), "v": _zeros(keys, tokens, d),
        "tp_q": True, "tp_out": True,
    }  # fmt: skip
    if size["window"]:
        arguments["sliding_window"] = size["window"]
    return _module("attention.attention_cte").attention_cte, arguments


def _output(tokens: int, size: Mapping[str, int]) -> Call:
    heads, d = size["heads"], size["value_columns"]
    arguments = {"attention": _zeros(1, heads, d, tokens), "weight": _zeros(heads * d, size["hidden"])}
    return _module("output_projection.output_projection_cte.output_projection_cte").output_projection_cte, arguments


def _mlp(tokens: int, size: Mapping[str, int]) -> Call:
    H, columns = size["hidden"], size["columns"]
    arguments = {
        "hidden_tensor": _zeros(1, tokens, H), "gate_proj_weights_tensor": _zeros(H, columns),
        "up_proj_weights_tensor": _zeros(H, columns), "down_proj_weights_tensor": _zeros(columns, H),
        "normalization_weights_tensor": _zeros(1, H),
        "normalization_type": _module("utils.common_types").NormType.RMS_NORM,
    }  # fmt: skip
    return _module("mlp.mlp").mlp, arguments


CALLS: Mapping[str, Callable[[int, Mapping[str, int]], Call]] = {
    NORM_QKV: _norm_qkv, ATTENTION: _attention, OUTPUT: _output, MLP: _mlp,
}  # fmt: skip


def _module(name: str) -> Any:
    return importlib.import_module(f"nkilib.core.{name}")


def _zeros(*shape: int) -> Array:
    return np.broadcast_to(np.zeros((), ml_dtypes.bfloat16), shape)
