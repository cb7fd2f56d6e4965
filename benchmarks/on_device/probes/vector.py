"""The Vector Engine: instructions back to back, and chains of dependent ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkisim.fitting import Term
from on_device.probes.probe import Point, Probe, cycles, ns, stream
from on_device.probes.tiles import WIDTH, hand_back, load, sbuf, source

MOST = 32768  # columns of all results together: 128 KiB of a partition
_HALF = WIDTH // 2


def _reduce(dst: Any, x: Any, n: int) -> None:
    nisa.tensor_reduce(dst=dst[:, 0:1], op=nl.add, data=x[:, 0:n], axis=1)


def _copy(dst: Any, x: Any, n: int) -> None:
    nisa.tensor_copy(dst=dst, src=x[:, 0:n], engine=nisa.engine.vector)


def _multiply(dst: Any, x: Any, n: int) -> None:
    nisa.tensor_scalar(dst=dst, data=x[:, 0:n], op0=nl.multiply, operand0=0.5, engine=nisa.engine.vector)


def _add(dst: Any, x: Any, n: int) -> None:
    nisa.tensor_tensor(dst=dst, data1=x[:, 0:n], data2=x[:, _HALF : _HALF + n], op=nl.add, engine=nisa.engine.vector)


def _scan(dst: Any, x: Any, n: int) -> None:
    nisa.tensor_tensor_scan(
        dst=dst, data0=x[:, 0:n], data1=x[:, _HALF : _HALF + n], initial=0.0, op0=nl.multiply, op1=nl.add
    )


def _reciprocal(dst: Any, x: Any, n: int) -> None:
    nisa.reciprocal(dst=dst, data=x[:, 0:n])


def _merge(dst: Any, x: Any, n: int) -> None:
    nisa.bn_aggr(dst=dst[:, 0:2], data=x[:, 0:n])


def _exponential(dst: Any, x: Any, n: int) -> None:
    nisa.exponential(dst=dst, src=x[:, 0:n])


def _sum(dst: Any, x: Any, n: int) -> None:
    nisa.tensor_scalar_reduce(
        dst=dst[:, 1:n], data=x[:, 1:n], op0=nl.multiply, operand0=0.5, reduce_op=nl.add, reduce_res=dst[:, 0:1]
    )


ISSUE: dict[str, Callable[[Any, Any, int], None]] = {
    "tensor_reduce": _reduce,
    "tensor_copy": _copy,
    "tensor_scalar": _multiply,
    "tensor_tensor": _add,
    "tensor_tensor_scan": _scan,
    "reciprocal": _reciprocal,
    "bn_aggr": _merge,
    "exponential": _exponential,
    "tensor_scalar_reduce": _sum,
}


@nki.jit
def vector_back_to_back(x: Any, instruction: str, count: int, columns: int) -> Any:
    """`count` instructions that do not depend on each other, of `columns` elements a lane."""
    tile, results = load(x), sbuf(MOST)
    for n in range(count):
        ISSUE[instruction](results[:, n * columns : (n + 1) * columns], tile, columns)
    return hand_back(results[:, (count - 1) * columns :])


@nki.jit
def vector_chain(x: Any, count: int, columns: int) -> Any:
    """`count` copies of which each reads what the one before wrote."""
    tile, other = load(x), sbuf(WIDTH)
    for _ in range(count):
        nisa.tensor_copy(dst=other[:, 0:columns], src=tile[:, 0:columns], engine=nisa.engine.vector)
        tile, other = other, tile
    return hand_back(tile)


def _back_to_back(
    instruction: str,
    settles: Iterable[str],
    how: str,
    sizes: Iterable[tuple[int, int]],
    each: Callable[[int], tuple[Term, ...]],
    targets: tuple[str, ...] = ("trn2", "trn3"),
) -> Probe:
    """`each`: terms of one instruction of so many columns."""
    points = tuple(
        Point(
            {"instruction": instruction, "count": count, "columns": columns},
            tuple(Term(count * term.factor, term.powers) for term in each(columns)),
        )
        for count, columns in sizes
    )
    return Probe(
        f"vector {instruction}", vector_back_to_back, source, tuple(settles), how, points, targets=targets
    )  # fmt: skip


def _plain(columns: int) -> Term:
    return cycles(1, "dve_time.overhead", "dve")


_LARGE, _SMALL = ((16, 1024), (32, 1024)), ((32, 64), (256, 64))
_SLOPE = "the time of one more instruction, less its elements at the documented rate"

PROBES = (
    _back_to_back(
        "tensor_reduce", ["dve_time.overhead"], _SLOPE, _SMALL,
        lambda n: (stream(n, "dve_rate.one", "dve"), _plain(n)),
    ),
    _back_to_back(
        "tensor_copy", ["dve_rate.copy_32_sbuf"],
        "the time of one more fp32 copy of 1024 columns, less the fixed part of a copy",
        _LARGE, lambda n: (stream(n, "dve_rate.copy_32_sbuf", "dve"), _plain(n)),
    ),
    _back_to_back(
        "tensor_scalar", ["dve_time.overhead_elementwise"],
        "the time of one more instruction, less its elements at the rate of copies",
        _SMALL, lambda n: (
            stream(n, "dve_rate.copy_32_sbuf", "dve"), cycles(1, "dve_time.overhead_elementwise", "dve"),
        ),
    ),
    _back_to_back(
        "tensor_tensor", ["dve_cycles.two_inputs_sbuf"],
        "the time of one more sum of two fp32 tiles in SBUF, over its elements",
        _LARGE, lambda n: (cycles(n, "dve_cycles.two_inputs_sbuf", "dve"), _plain(n)),
    ),
    _back_to_back(
        "tensor_tensor_scan", ["dve_cycles.tensor_tensor_scan"], "the time of one more scan, over its elements",
        _LARGE, lambda n: (cycles(n, "dve_cycles.tensor_tensor_scan", "dve"), _plain(n)),
    ),
    _back_to_back(
        "reciprocal", ["dve_cycles.reciprocal"], "the time of one more reciprocal, over its elements",
        _LARGE, lambda n: (cycles(n, "dve_cycles.reciprocal", "dve"), _plain(n)),
    ),
    _back_to_back(
        "bn_aggr", ["dve_cycles.bn_aggr"], "the time of one more merge of statistics, over its elements",
        ((16, 1023), (32, 1023)), lambda n: (cycles(n, "dve_cycles.bn_aggr", "dve"), _plain(n)),
    ),
    _back_to_back(
        "exponential", ["dve_cycles.exponential"], "the time of one more exponential, over its elements",
        _LARGE, lambda n: (cycles(n, "dve_cycles.exponential", "dve"), _plain(n)), targets=("trn3",),
    ),
    _back_to_back(
        "tensor_scalar_reduce", ["dve_cycles.reduce_readout"],
        "the time of one more instruction, less one that keeps no sum",
        ((32, 65), (256, 65)), lambda n: (
            stream(n - 1, "dve_rate.one", "dve"), _plain(n), cycles(1, "dve_cycles.reduce_readout", "dve"),
        ),
    ),
    Probe(
        "vector chain", vector_chain, source, ("dve_time.result",),
        "the time of one more link, less its elements and the semaphore between two instructions",
        tuple(
            Point({"count": count, "columns": 64}, (
                stream(count * 64, "dve_rate.copy_32_sbuf", "dve"), ns(count, "dve_time.result"),
                ns(count, "sync.semaphore"),
            ))
            for count in (32, 256)
        ),
    ),
)  # fmt: skip
