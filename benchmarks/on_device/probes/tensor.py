"""The Tensor Engine: matmuls back to back, and in turn with the Vector Engine, so that fixed parts are not hidden."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from nkisim.fitting import Term
from on_device.probes.probe import Array, Point, Probe, Sizes, ns, stream
from on_device.probes.tiles import PARTITIONS, hand_back, load, sbuf

COLUMNS = 64
BANK = 4  # results of 128 fp32 columns


def operands(sizes: Sizes) -> tuple[Array, ...]:
    """Weights and moving columns, [128, 128]: small, so that no chain of products grows."""
    dtype = np.dtype(np.float32 if "float32" in str(sizes["kind"]) else ml_dtypes.bfloat16)
    return (np.random.default_rng(0).uniform(0, 1 / PARTITIONS, (PARTITIONS, PARTITIONS)).astype(dtype),)


def psum(columns: int) -> Any:
    """A bank, or part of it."""
    return nl.ndarray((PARTITIONS, columns), dtype=nl.float32, buffer=nl.psum)


@nki.jit
def matmuls(x: Any, kind: str, count: int, rows: int) -> Any:
    """`count` matmuls over `rows` rows that add to one tile."""
    tile, product, result = load(x), psum(COLUMNS), sbuf(COLUMNS)
    for n in range(count):
        nisa.nc_matmul(
            dst=product, stationary=tile[0:rows, 0:PARTITIONS], moving=tile[0:rows, 0:COLUMNS], accumulate=n > 0
        )
    nisa.tensor_copy(dst=result, src=product, engine=nisa.engine.vector)
    return hand_back(result)


@nki.jit
def transposes(x: Any, kind: str, count: int) -> Any:
    """`count` transposes on the Tensor Engine; of every four in a bank the Vector Engine reads a column each."""
    tile, result = load(x), sbuf(BANK)
    for _ in range(count // BANK):
        turned = psum(BANK * PARTITIONS)
        for n in range(BANK):
            at = slice(n * PARTITIONS, (n + 1) * PARTITIONS)
            nisa.nc_transpose(dst=turned[:, at], data=tile, engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=result, src=turned[:, 0::PARTITIONS], engine=nisa.engine.vector)
    return hand_back(result)


@nki.jit
def matmuls_and_copies(x: Any, kind: str, count: int, rows: int) -> Any:
    """`count` matmuls over `rows` rows, of which each takes what the Vector Engine copied of the one before."""
    weights, moving, result = load(x), sbuf(COLUMNS, x.dtype), sbuf(COLUMNS)
    nisa.tensor_copy(dst=moving, src=weights[:, 0:COLUMNS], engine=nisa.engine.vector)
    for _ in range(count):
        product = psum(COLUMNS)
        nisa.nc_matmul(dst=product, stationary=weights[0:rows, :], moving=moving[0:rows, :], accumulate=False)
        nisa.tensor_copy(dst=moving, src=product, engine=nisa.engine.vector)
    nisa.tensor_copy(dst=result, src=moving, engine=nisa.engine.vector)
    return hand_back(result)


def _busy(count: float, passes: dict[str, int], columns: int, more: dict[str, int] | None = None) -> tuple[Term, Term]:
    """What `count` matmuls occupy the engine: streams, and a fixed part of each pass (two of fp32)."""
    clock = {"clock.pe": -1, **(more or {})}
    pass_share = 0.5 if passes else 1.0
    return (
        Term(count * columns, {**passes, **clock}),
        Term(count * pass_share, {"pe_time.overhead": 1, **passes, **clock}),
    )


def _link(count: int, passes: dict[str, int]) -> tuple[Term, ...]:
    """A matmul at the slow clock, for it does little between its pauses, and the copy behind it."""
    loads = ns(count * 0.5, "pe_time.load") if passes else ns(count, "pe_time.load")
    fixed_part = _busy(count, passes, 0)[1]
    return (
        Term(loads.factor, {"pe_time.load": 1, **passes}),
        *_busy(count, passes, COLUMNS, {"pe_time.slowdown": 1}),
        Term(-fixed_part.factor, fixed_part.powers),
        ns(count, "pe_time.result_fp32" if passes else "pe_time.result"),
        ns(2 * count, "sync.semaphore"),
        stream(count * COLUMNS, "dve_rate.one", "dve"),
        ns(count, "dve_time.result"),
    )


def _links(kind: str, rows: int, passes: dict[str, int]) -> tuple[Point, ...]:
    return tuple(Point({"kind": kind, "count": count, "rows": rows}, _link(count, passes)) for count in (16, 128))


_FP32 = {"pe_time.fp32_passes": 1}
_SHORT = {**_FP32, "pe_time.short_k_fp32": 1}

PROBES = (
    Probe(
        "tensor matmul", matmuls, operands, ("pe_time.overhead",),
        "the time of one more matmul of 64 bf16 columns, less 64 cycles",
        tuple(
            Point({"kind": "bfloat16", "count": count, "rows": PARTITIONS}, _busy(count, {}, COLUMNS))
            for count in (512, 2048)
        ),
    ),
    Probe(
        "tensor matmul short", matmuls, operands, ("pe_time.short_k_fp32",),
        "the time of one more fp32 matmul over 64 rows, over that of one over 128",
        tuple(
            Point({"kind": "float32", "count": count, "rows": PARTITIONS // 2}, _busy(count, _SHORT, COLUMNS))
            for count in (128, 512)
        ),
    ),
    Probe(
        "tensor transpose", transposes, operands, ("pe_time.transpose_fp32",),
        "the time of one more fp32 transpose, less its fixed part, over 128 cycles",
        tuple(
            Point({"kind": "float32", "count": count}, (
                Term(count * PARTITIONS, {"pe_time.transpose_fp32": 1, "clock.pe": -1}),
                Term(count, {"pe_time.overhead": 1, "clock.pe": -1}),
            ))
            for count in (256, 1024)
        ),
    ),
    Probe(
        "tensor and vector", matmuls_and_copies, operands, ("pe_time.result",),
        "the time of one more bf16 matmul and copy, less the copy, two semaphores and the load of weights",
        _links("bfloat16", PARTITIONS, {}),
    ),
    Probe(
        "tensor and vector float32", matmuls_and_copies, operands, ("pe_time.result_fp32",),
        "the same with fp32, whose second pass loads weights again", _links("float32", PARTITIONS, _FP32),
    ),
    Probe(
        "tensor and vector float32 short", matmuls_and_copies, operands, ("pe_time.load",),
        "the same over 64 rows, in twice as many passes: the difference is two loads and known streams",
        _links("float32", PARTITIONS // 2, _SHORT),
    ),
)  # fmt: skip
