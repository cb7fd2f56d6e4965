# SPDX-License-Identifier: Apache-2.0
"""The choices of many tokens side by side: [128, n, K], tile n of 128 tokens, so that few instructions do for all.

What a choice has beside it (its weight, its number) follows it when choices are put into the order of their experts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div
from nkimoe.routing.on_device.largest import AT_ONCE, FOUND, find_largest


def own_tokens(n_tokens: int) -> Span:
    """This core's tokens: whole tiles of 128, but for the last one."""
    each = ceil_div(ceil_div(n_tokens, PARTITIONS), nl.num_programs(0)) * PARTITIONS
    start = min(n_tokens, nl.program_id(0) * each)
    return Span(start, min(each, n_tokens - start))


def load_choices(table: Any, tokens: Span, absent: float) -> Any:
    """fp32 [128, n, K] of rows of an HBM table [T, K]; `absent` where the last tile has no token; one tile at least."""
    raw = load_tiles(table, tokens, absent)
    if str(table.dtype) == "float32":
        return raw
    result = like(raw)
    nisa.tensor_copy(dst=result, src=raw)
    return result


def load_tiles(table: Any, tokens: Span, absent: float) -> Any:
    """As `load_choices`, in the type of the table."""
    whole, rest = tokens.size // PARTITIONS, tokens.size % PARTITIONS
    shape = (PARTITIONS, max(1, ceil_div(tokens.size, PARTITIONS)), int(table.shape[1]))
    tile = nl.ndarray(shape, dtype=table.dtype, buffer=nl.sbuf)
    if whole < shape[1]:
        nisa.memset(dst=tile[:, whole:, :], value=absent)
    if rest:
        nisa.dma_copy(dst=tile[:rest, whole, :], src=table[tokens.stop - rest : tokens.stop])
    if whole:
        nisa.dma_copy(dst=tile[:, :whole, :], src=_whole_tiles(table, tokens))
    return tile


def store_choices(table: Any, values: Any, tokens: Span) -> None:
    """Write [128, n, K] to those rows of an HBM table [T, K] of the same type."""
    whole, rest = tokens.size // PARTITIONS, tokens.size % PARTITIONS
    if whole:
        nisa.dma_copy(dst=_whole_tiles(table, tokens), src=values[:, :whole, :])
    if rest:
        nisa.dma_copy(dst=table[tokens.stop - rest : tokens.stop], src=values[:rest, whole, :])


def _whole_tiles(table: Any, tokens: Span) -> Any:
    columns, whole = int(table.shape[1]), tokens.size // PARTITIONS
    pattern = [[columns, PARTITIONS], [PARTITIONS * columns, whole], [1, columns]]
    return table.ap(pattern=pattern, offset=tokens.start * columns)


def only_experts(ids: Any, n_experts: int) -> Any:
    """ids [128, n, K], but -1 for those outside 0..E-1."""
    is_below, result = like(ids), like(ids)
    nisa.tensor_scalar(dst=is_below, data=ids, op0=nl.less, operand0=float(n_experts))
    nisa.scalar_tensor_tensor(dst=result, data=ids, op0=nl.add, operand0=1.0, op1=nl.multiply, operand1=is_below)
    nisa.tensor_scalar(dst=result, data=result, op0=nl.add, operand0=-1.0, op1=nl.maximum, operand1=-1.0)
    return result


class ByExpert(NamedTuple):
    """Each token's choices in descending order of their experts, equal ones as they were.

    Attributes:
        ids: fp32 [128, n, K]; those that are no expert, -1, come last.
        choices: fp32 [128, n, K], which choice of the token it is.
        repeats: fp32 [128, n, K], how many choices before it have the same expert.
        experts: fp32 [128, n, K], how many other experts come before it.
    """

    ids: Any
    choices: Any
    repeats: Any
    experts: Any


def by_expert(ids: Any) -> ByExpert:
    """ids: fp32 [128, n, K] of `only_experts`."""
    _, tiles, top_k = ids.shape
    width = ceil_div(top_k, AT_ONCE) * AT_ONCE
    shape = (PARTITIONS, tiles, width)
    best = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    places = nl.ndarray(shape, dtype=nl.uint32, buffer=nl.sbuf)
    wide = ids
    if width > top_k:
        wide = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=wide, value=FOUND)
        nisa.tensor_copy(dst=wide[:, :, :top_k], src=ids)
    for n in range(tiles):
        for here, rest in find_largest(best[:, n, :], wide[:, n, :]):
            nisa.nc_find_index8(dst=places[:, n, here], data=rest, vals=best[:, n, here])
    ordered, choices = like(ids), like(ids)
    nisa.tensor_copy(dst=ordered, src=best[:, :, :top_k])
    nisa.tensor_copy(dst=choices, src=places[:, :, :top_k])
    return ByExpert(ordered, choices, *_runs(ordered))


def _runs(ids: Any) -> tuple[Any, Any]:
    """How many of a token's ids before each are equal to it, and how many different ones there are before it."""
    top_k = ids.shape[2]
    is_equal, goes_on = like(ids), like(ids)
    nisa.memset(dst=is_equal, value=0)
    nisa.memset(dst=goes_on, value=0)
    if top_k > 1:
        later, before = ids[:, :, 1:], ids[:, :, : top_k - 1]
        nisa.tensor_tensor(dst=is_equal[:, :, 1:], data1=later, data2=before, op=nl.equal)
        nisa.memset(dst=goes_on[:, :, 1:], value=1)
    is_new, repeats, experts = like(ids), like(ids), like(ids)
    nisa.tensor_tensor(dst=is_new, data1=goes_on, data2=is_equal, op=nl.subtract)
    for sums, stays, adds in ((repeats, is_equal, is_equal), (experts, goes_on, is_new)):
        nisa.tensor_tensor_scan(
            dst=_flat(sums), data0=_flat(stays), data1=_flat(adds), initial=0.0, op0=nl.multiply, op1=nl.add
        )
    return repeats, experts


def at(values: Any, places: Any) -> Any:
    """fp32 [128, n, K]: of each token's values [128, n, K or more] those at its places [128, n, K]; exact."""
    _, tiles, width = values.shape
    count = int(places.shape[2])
    index, result = nl.ndarray(tuple(places.shape), dtype=nl.uint32, buffer=nl.sbuf), like(places)
    first = like(places)
    nisa.iota(dst=first, pattern=[[width, tiles], [0, count]], offset=0, channel_multiplier=0)
    nisa.tensor_tensor(dst=index, data1=first, data2=places, op=nl.add)
    flat = [t.reshape((PARTITIONS, tiles * int(t.shape[2]))) for t in (result, values, index)]
    nisa.nc_n_gather(dst=flat[0], data=flat[1], indices=flat[2])
    return result


def like(values: Any) -> Any:
    """An fp32 tile of that shape."""
    return nl.ndarray(tuple(values.shape), dtype=nl.float32, buffer=nl.sbuf)


def _flat(values: Any) -> Any:
    _, tiles, top_k = values.shape
    return values.reshape((PARTITIONS, tiles * top_k))
