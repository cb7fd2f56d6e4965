# SPDX-License-Identifier: Apache-2.0
"""Lists of ids against columns: which columns a row lists, and what stands in them. A token or block is a partition."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, Span


def numbers(count: int) -> Any:
    """fp32 [128, count]: 0, 1, ... in each partition."""
    tile = nl.ndarray((PARTITIONS, count), dtype=nl.float32, buffer=nl.sbuf)
    nisa.iota(dst=tile, pattern=[[1, count]], offset=0, channel_multiplier=0)
    return tile


def ids_of(experts: tuple[int, ...]) -> Any:
    """fp32 [128, experts]: their ids in each partition, an instruction for each run of neighbours."""
    tile = nl.ndarray((PARTITIONS, len(experts)), dtype=nl.float32, buffer=nl.sbuf)
    starts = [i for i, expert in enumerate(experts) if i == 0 or expert != experts[i - 1] + 1]
    for start, stop in zip(starts, [*starts[1:], len(experts)], strict=True):
        part = tile[:, start:stop]
        nisa.iota(dst=part, pattern=[[1, stop - start]], offset=experts[start], channel_multiplier=0)
    return tile


def own_numbers(rows: Span, dtype: Any) -> Any:
    """[rows, 1]: the number of each row."""
    tile = nl.ndarray((rows.size, 1), dtype=dtype, buffer=nl.sbuf)
    nisa.iota(dst=tile, pattern=[[1, 1]], offset=rows.start, channel_multiplier=1)
    return tile


def load_ids(ids: Any, tokens: Span) -> Any:
    """Some rows of int32 [T, K] as fp32, the Vector Engine's only number for comparing: below 2**24 they are exact, and
    larger ones stay larger."""
    shape = (tokens.size, ids.shape[1])
    raw = nl.ndarray(shape, dtype=nl.int32, buffer=nl.sbuf)
    result = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=raw, src=ids[tokens.slice])
    nisa.tensor_copy(dst=result, src=raw)
    return result


def is_listed(columns: Any, ids: Any, dtype: Any) -> Any:
    """[rows, columns]: 1 where a row of ids [rows, K] lists the column, however often, else 0."""
    return _over_choices(columns, ids, dtype, nl.maximum)


def times_listed(columns: Any, ids: Any, dtype: Any) -> Any:
    """[rows, columns]: how often a row of ids [rows, K] lists the column."""
    return _over_choices(columns, ids, dtype, nl.add)


def _over_choices(columns: Any, ids: Any, dtype: Any, op: Any) -> Any:
    """`op` over what each choice says of a column: 1 if it is its id, else 0."""
    rows, count = ids.shape
    result = nl.ndarray((rows, columns.shape[1]), dtype=dtype, buffer=nl.sbuf)
    nisa.memset(dst=result, value=0)
    for k in range(count):
        nisa.scalar_tensor_tensor(
            dst=result, data=columns[:rows], op0=nl.equal, operand0=ids[:, k : k + 1], op1=op, operand1=result
        )
    return result


def at_ids(columns: Any, values: Any, ids: Any) -> Any:
    """fp32 [rows, K]: values [rows, columns] where ids [rows, K] point to, 0 for ids of no column; exact."""
    rows, count = ids.shape
    result = nl.ndarray((rows, count), dtype=nl.float32, buffer=nl.sbuf)
    for k in range(count):
        alone = nl.ndarray(tuple(values.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.scalar_tensor_tensor(
            dst=alone, data=columns[:rows], op0=nl.equal, operand0=ids[:, k : k + 1], op1=nl.multiply, operand1=values
        )
        nisa.tensor_reduce(dst=result[:, k : k + 1], op=nl.add, data=alone, axis=1)
    return result
