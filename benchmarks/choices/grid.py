"""Layers that the coefficients are fitted on: none of those that are judged.

Sizes are drawn from a seed, so that experts are small and large, their weights stay or stream, few or many pairs share
an expert, and a prediction takes seconds; some layers are as large as the judged ones, and come with two block sizes.
Some published layers, in other layouts than the judged ones, come with all their choices.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from shapes import LayerShape, PublishedLayer

from choices.point import Point
from nkimoe.choosing import Fixed
from nkimoe.choosing.choice import choices
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.tiling import ceil_div
from nkimoe.spec import BlockShardStrategy

SEED, DRAWN = 7, 32
TOKENS = 512  # of the published layers
LIMIT = 7.0  # of layers with biases, as of gpt-oss
H = (1024, 1536, 2048, 2560, 3072, 4096, 5120, 6144)
I = (128, 192, 256, 384, 512, 640, 768, 1024, 1536, 2048)
LARGEST = 6144 * 1280  # H x I
MOST_WORK = 220  # of a layer: parts of 128 slots times 2^20 weights
LARGE_SEED, LARGE = 11, 9
LARGE_WORK, LARGE_WEIGHTS = (120, 1100), 260  # likewise; 2^20 weights of a rank
FEW_PAIRS = 24  # an expert: fewer are what small layers have
LARGE_SIZES = (128, 256)
PUBLISHED = (
    PublishedLayer("qwen3-30b-a3b", T=TOKENS, tp=2).shape(),
    PublishedLayer("qwen3-235b-a22b", T=TOKENS, tp=8).shape(),
    PublishedLayer("mixtral-8x7b", T=TOKENS, tp=8).shape(),
)


def points() -> Iterator[Point]:
    """All of the grid on Trn2: in bf16, and every second layer that is drawn with fp8 rows, too."""
    for shape in PUBLISHED:
        for choice in choices(Fixed(), False, _pairs(shape), shape.experts):
            yield Point("trn2", shape, shape.T, choice)
    yield from _drawn()
    yield from _large()


def _drawn() -> Iterator[Point]:
    rng = random.Random(SEED)
    found = 0
    while found < DRAWN:
        layer = _draw(rng)
        if layer is None:
            continue
        found += 1
        yield from _forms(*layer, rng, has_fp8_rows=found % 2 == 0)


def _large() -> Iterator[Point]:
    rng = random.Random(LARGE_SEED)
    found = 0
    while found < LARGE:
        shape = _draw_large(rng)
        if shape is None:
            continue
        found += 1
        for size in dict.fromkeys((shape.B, rng.choice(LARGE_SIZES))):
            yield from _forms(shape, size, rng, has_fp8_rows=found % 2 == 0)


def _forms(shape: LayerShape, block_size: int, rng: random.Random, has_fp8_rows: bool) -> Iterator[Point]:
    """A layer with one block size: all variants, blocks in turns three times in ten."""
    for choice in choices(Fixed(block_size=block_size), False, _pairs(shape), shape.experts):
        if choice.strategy is not BlockShardStrategy.PING_PONG or rng.random() >= 0.7:
            yield Point("trn2", shape, shape.T, choice)
            if has_fp8_rows:
                yield Point("trn2", shape, shape.T, choice, fp8_rows=True)


def _pairs(shape: LayerShape) -> int:
    """Of a rank, with an even routing."""
    return shape.T * shape.K * shape.experts // shape.E


def _draw_large(rng: random.Random) -> LayerShape | None:
    """With some thousand tokens, on ranks that mostly share the experts, in blocks that suit them; None: too small, or
    a prediction takes long.
    """
    hidden, inner = rng.choice((*H[2:], 7168)), rng.choice(I[1:])
    E, K, ep = rng.choice((8, 16, 32, 64)), rng.choice((1, 2, 4, 8)), rng.choice((1, 2, 4, 8, 16))
    T, has_biases = rng.choice((1024, 2048, 4096, 4096, 8192)), rng.random() < 0.3
    pairs, weights = T * K // ep, E * hidden * inner / 2**20
    work = (pairs / 128 + E / 2) * hidden * inner / 2**20
    if pairs < FEW_PAIRS * E or not LARGE_WORK[0] < work < LARGE_WORK[1] or weights > LARGE_WEIGHTS:
        return None
    name = f"H{hidden}I{inner}E{E}K{K}ep{ep}T{T}b{int(has_biases)}"
    limit = LIMIT if has_biases else None
    return LayerShape(name, hidden, inner, E * ep, E, K, T, block_size_for(pairs, E), biases=has_biases, limit=limit)


def _draw(rng: random.Random) -> tuple[LayerShape, int] | None:
    """A layer and a block size; None: too large, too small, or mostly pads."""
    hidden, inner = rng.choice(H), rng.choice(I)
    if hidden * inner > LARGEST:
        return None
    E, K = rng.choice((4, 8, 12, 16, 24, 32)), rng.choice((1, 2, 4, 8))
    if K > E:
        return None
    ep, per_expert = rng.choice((1, 1, 2, 4)), rng.choice((8, 16, 24, 40, 60, 90, 130, 180, 260, 400, 600, 900))
    T = per_expert * E * ep // K
    if not 128 <= T <= 8192:
        return None
    suited = block_size_for(T * K // ep, E)
    B = rng.choice((64, 128, 256, 512, suited, suited, suited))
    parts = E * ceil_div(per_expert, B) * max(1, B // 128)
    if parts * hidden * inner / 2**20 > MOST_WORK or 4 * per_expert + 64 < B:
        return None
    has_biases = rng.random() < 0.25
    name = f"H{hidden}I{inner}E{E}K{K}ep{ep}b{int(has_biases)}"
    limit = LIMIT if has_biases else None
    return LayerShape(name, hidden, inner, E * ep, E, K, T, B, biases=has_biases, limit=limit), B
