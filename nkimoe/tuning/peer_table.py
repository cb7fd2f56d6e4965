# SPDX-License-Identifier: Apache-2.0
"""aiter's tuned_fmoe tables: which of their layers can be tuned here.

Nothing else of a row is taken over: kernel names, times and block sizes are those of another machine.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nkimoe.errors import require
from nkimoe.planning.grouped_gemm.pieces import MOST_ROWS
from nkimoe.tuning.layer_key import LayerKey, buckets
from nkimoe.tuning.operand_types import OperandTypes, quantization_of
from nkimoe.tuning.tuned_row import LAYER, SIZES

FLAGS = LAYER[-2:]
ACT_TYPES = {"ActivationType.Silu": "silu", "ActivationType.Gelu": "gelu", "ActivationType.Swiglu": "swiglu"}
DTYPES = {"torch.bfloat16": "bfloat16", "torch.float16": "float16"}


class PeerRow(NamedTuple):
    """One line of their table.

    Attributes:
        line: its number.
        layer: None if it cannot be tuned here.
        reason: why not, the same words for the same reason; "" if it can be.
    """

    line: int
    layer: LayerKey | None
    reason: str


def read_peer_table(path: str | Path) -> list[PeerRow]:
    """Every line of a file, each usable or with the reason why not.

    Raises:
        RequestError: it lacks columns of the key. OSError: no such file.
    """
    with open(path, encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        missing = [name for name in LAYER if name not in (lines.fieldnames or ())]
        require(not missing, f"{path}", "has the key of aiter's table", f"no {', '.join(missing)}", "Check the file.")
        return [_row(line, lines.line_num) for line in lines]


def _row(line: Mapping[str, str], number: int) -> PeerRow:
    reason = _reason(line)
    return PeerRow(number, None if reason else _layer(line), reason)


def _reason(line: Mapping[str, str]) -> str:
    """Why the layer of a line cannot be tuned here; "" if it can be."""
    if any(line[name] is None for name in LAYER) or not all(line[name].isdecimal() for name in (*SIZES, *FLAGS)):
        return "sizes or flags that are no numbers"
    for name, known in (("act_type", ACT_TYPES), ("dtype", DTYPES)):
        if line[name] not in known:
            return f"{name} {line[name]}"
    if line["use_g1u1"] != "1":
        return "use_g1u1 0: fused_moe has a gate"
    if quantization_of(_types(line), DTYPES[line["dtype"]]) is None:
        return f"q_dtype_a {line['q_dtype_a']}, q_dtype_w {line['q_dtype_w']}, q_type {line['q_type']}"
    if max(int(line["model_dim"]), int(line["inter_dim"])) > MOST_ROWS:
        return f"model_dim or inter_dim over {MOST_ROWS}"
    token = int(line["token"])
    return "" if token == buckets(token)[0] else "token that is no bucket, which nothing would look up"


def _layer(line: Mapping[str, str]) -> LayerKey:
    values: dict[str, Any] = {name: int(line[name]) for name in SIZES} | {name: line[name] == "1" for name in FLAGS}
    values |= {"act_type": ACT_TYPES[line["act_type"]], "dtype": DTYPES[line["dtype"]], **_types(line)._asdict()}
    return LayerKey(**values)


def _types(line: Mapping[str, str]) -> OperandTypes:
    a, w = (line[name].removeprefix("torch.") for name in ("q_dtype_a", "q_dtype_w"))
    return OperandTypes(a, w, line["q_type"].removeprefix("QuantType.").lower())
