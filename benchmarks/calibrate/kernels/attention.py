"""Attention of one head of 128 on one core: in one pass over queries, or with scores and weights by way of HBM.

q_t, k_t and v_t are [128, S]; the result is [S, 128]. Scores, their exponentials and what is multiplied with them are
fp32 whatever the operands are. Copies out of PSUM go to the Vector and the Scalar Engine in turn.
"""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

P, COLUMNS = 128, 512


@nki.jit
def fused(q_t: Any, k_t: Any, v_t: Any) -> Any:
    """Nothing but the result goes back to HBM; rows are divided by their sums last."""
    S = q_t.shape[1]
    result = nl.ndarray((S, P), dtype=q_t.dtype, buffer=nl.shared_hbm)
    queries, keys, values = _load(q_t), _load(k_t), _load(v_t)
    values = _transposed(values)
    for row in range(0, S, P):
        weights, inverse = _exponentials(_scores(queries, keys, row))
        total = _weighted(weights, values)
        out = nl.ndarray((P, P), dtype=q_t.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=out, data=total, op0=nl.multiply, operand0=inverse, engine=nisa.engine.vector)
        nisa.dma_copy(dst=result[row : row + P, :], src=out)
    return result


@nki.jit
def by_way_of_hbm(q_t: Any, k_t: Any, v_t: Any) -> Any:
    """Three phases: scores, softmax of rows, product with values; each stores what the next one loads."""
    S = q_t.shape[1]
    result = nl.ndarray((S, P), dtype=q_t.dtype, buffer=nl.shared_hbm)
    scores, weights = (nl.ndarray((S, S), dtype=nl.float32, buffer=nl.shared_hbm) for _ in range(2))
    queries, keys, values = _load(q_t), _load(k_t), _load(v_t)
    for row in range(0, S, P):
        nisa.dma_copy(dst=scores[row : row + P, :], src=_scores(queries, keys, row))
    for row in range(0, S, P):
        exponentials, inverse = _exponentials(_load(scores[row : row + P, :]))
        scaled = nl.ndarray((P, S), dtype=nl.float32, buffer=nl.sbuf)
        for at in _chunks(S):
            nisa.tensor_scalar(
                dst=scaled[:, at], data=exponentials[:, at], op0=nl.multiply, operand0=inverse,
                engine=nisa.engine.vector,
            )  # fmt: skip
        nisa.dma_copy(dst=weights[row : row + P, :], src=scaled)
    values = _transposed(values)
    for row in range(0, S, P):
        total = _weighted(_load(weights[row : row + P, :]), values)
        out = nl.ndarray((P, P), dtype=q_t.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=out, src=total, engine=nisa.engine.vector)
        nisa.dma_copy(dst=result[row : row + P, :], src=out)
    return result


def _load(source: Any) -> Any:
    tile = nl.ndarray(source.shape, dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source)
    return tile


def _chunks(S: int) -> list[slice]:
    return [slice(start, start + COLUMNS) for start in range(0, S, COLUMNS)]


def _copy_out(dst: Any, src: Any, number: int) -> None:
    """Out of PSUM, by one engine or the other."""
    nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar if number % 2 else nisa.engine.vector)


def _transposed(tile: Any) -> Any:
    """[128, S] as blocks of 128 columns, each transposed, in fp32."""
    S = tile.shape[1]
    result = nl.ndarray((P, S), dtype=nl.float32, buffer=nl.sbuf)
    for i, start in enumerate(range(0, S, P)):
        block = nl.ndarray((P, P), dtype=tile.dtype, buffer=nl.psum)
        nisa.nc_transpose(dst=block, data=tile[:, start : start + P], engine=nisa.engine.tensor)
        _copy_out(result[:, start : start + P], block, i)
    return result


def _scores(queries: Any, keys: Any, row: int) -> Any:
    """[128, S] of one row of tiles."""
    S = keys.shape[1]
    result = nl.ndarray((P, S), dtype=nl.float32, buffer=nl.sbuf)
    for i, at in enumerate(_chunks(S)):
        total = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=total, stationary=queries[:, row : row + P], moving=keys[:, at])
        _copy_out(result[:, at], total, i)
    return result


def _exponentials(scores: Any) -> tuple[Any, Any]:
    """exp(scores - maximum of the row) and one over the sums of rows."""
    S = scores.shape[1]
    chunks = _chunks(S)
    largest, sums = (nl.ndarray((P, len(chunks)), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    for i, at in enumerate(chunks):
        nisa.tensor_reduce(dst=largest[:, i : i + 1], op=nl.maximum, data=scores[:, at], axis=1)
    bias, total, inverse = (nl.ndarray((P, 1), dtype=nl.float32, buffer=nl.sbuf) for _ in range(3))
    nisa.tensor_reduce(dst=bias, op=nl.maximum, data=largest, axis=1, negate=True)
    result = nl.ndarray((P, S), dtype=nl.float32, buffer=nl.sbuf)
    for i, at in enumerate(chunks):
        nisa.activation(dst=result[:, at], op=nl.exp, data=scores[:, at], bias=bias)
        nisa.tensor_reduce(dst=sums[:, i : i + 1], op=nl.add, data=result[:, at], axis=1)
    nisa.tensor_reduce(dst=total, op=nl.add, data=sums, axis=1)
    nisa.reciprocal(dst=inverse, data=total)
    return result, inverse


def _weighted(weights: Any, values: Any) -> Any:
    """weights [128, S] times values [S, 128], in PSUM."""
    transposed = _transposed(weights)
    total = nl.ndarray((P, P), dtype=nl.float32, buffer=nl.psum)
    for start in range(0, values.shape[1], P):
        nisa.nc_matmul(dst=total, stationary=transposed[:, start : start + P], moving=values[:, start : start + P])
    return total
