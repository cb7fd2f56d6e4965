"""Router: logits to the top-k experts of each token and their weights."""

from typing import Any

import numpy as np
import numpy.typing as npt


def route_softmax_top_k(
    logits: npt.NDArray[Any], top_k: int, renormalize: bool = True
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return each token's top-k experts by softmax probability: (weights float32 [T, K], ids int32 [T, K]).

    logits [T, E], any float dtype; -inf masks an expert. The softmax is over all E, in fp32. A row
    descends by probability; equal probabilities ascend by id. renormalize divides each row of weights by its
    sum.

    Raises ValueError when logits is not [T, E], top_k is not in 1..E, or a row holds NaN, +inf or only -inf.

    >>> weights, ids = route_softmax_top_k(np.log([[0.2, 0.5, 0.3]]), top_k=2)
    >>> ids.tolist(), weights.round(3).tolist()
    ([[1, 2]], [[0.625, 0.375]])
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must be [T, E], got {logits.shape}; flatten batch and sequence into T")
    n_experts = logits.shape[1]
    if not 1 <= top_k <= n_experts:
        raise ValueError(f"top_k must be in 1..E = 1..{n_experts}, got {top_k}")
    probabilities = _softmax(logits.astype(np.float32))
    ids = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    weights = np.take_along_axis(probabilities, ids, axis=1)
    if renormalize:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return weights, ids.astype(np.int32)


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    largest = logits.max(axis=1, keepdims=True)
    unusable = np.flatnonzero(~np.isfinite(largest))
    if unusable.size:
        row = int(unusable[0])
        raise ValueError(
            f"each row of logits must have a finite largest value (no NaN, no +inf, not all -inf), "
            f"got {largest[row, 0]} in row {row}; mask an expert with -inf, and leave each token one expert"
        )
    exponentials = np.exp(logits - largest)
    probabilities: npt.NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities
