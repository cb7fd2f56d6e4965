"""The Scalar Engine: copies and functions back to back, in chains, and functions of different tables in turn."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkisim.fitting import Term
from on_device.probes.probe import Point, Probe, Sizes, cycles, ns, stream
from on_device.probes.tiles import WIDTH, hand_back, load, sbuf, source

MOST = 32768
FUNCTIONS = {"copy": (nl.copy,), "exp": (nl.exp,), "exp and gelu": (nl.exp, nl.gelu)}


@nki.jit
def functions_back_to_back(x: Any, functions: str, count: int, columns: int) -> Any:
    """`count` activations that do not depend on each other."""
    tile, results, (op,) = load(x), sbuf(MOST), FUNCTIONS[functions]
    for n in range(count):
        nisa.activation(dst=results[:, n * columns : (n + 1) * columns], op=op, data=tile[:, 0:columns])
    return hand_back(results[:, (count - 1) * columns :])


@nki.jit
def sums_back_to_back(x: Any, count: int, columns: int) -> Any:
    """`count` copies that also sum what they copy."""
    tile, results = load(x), sbuf(MOST)
    for n in range(count):
        first = n * (columns + 1)
        nisa.activation_reduce(
            dst=results[:, first + 1 : first + columns + 1], op=nl.copy, data=tile[:, 0:columns], reduce_op=nl.add,
            reduce_res=results[:, first : first + 1],
        )  # fmt: skip
    return hand_back(results[:, (count - 1) * (columns + 1) :])


@nki.jit
def function_chain(x: Any, functions: str, count: int, columns: int) -> Any:
    """`count` activations of which each reads what the one before wrote; exponentials are of small numbers."""
    tile, other, ops = load(x), sbuf(WIDTH), FUNCTIONS[functions]
    for n in range(count):
        nisa.activation(dst=other[:, 0:columns], op=ops[n % len(ops)], data=tile[:, 0:columns], scale=0.25)
        tile, other = other, tile
    return hand_back(tile)


def _elements(count: int, columns: int) -> Term:
    return stream(count * columns, "act_time.rate", "act")


def _points(sizes: Sizes, fixed_part: str, more: tuple[Term, ...] = ()) -> tuple[Point, ...]:
    """32 and 256 instructions of 64 columns; `more`: of each."""
    return tuple(
        Point({**sizes, "count": count, "columns": 64}, (
            _elements(count, 64), cycles(count, fixed_part, "act"),
            *(Term(count * term.factor, term.powers) for term in more),
        ))
        for count in (32, 256)
    )  # fmt: skip


def _chain(functions: str, result: str, loads: int = 0) -> tuple[Point, ...]:
    """32 and 256 links, each behind so many loads of a table."""
    return tuple(
        Point({"functions": functions, "count": count, "columns": 64}, (
            _elements(count, 64), ns(count, result), ns(count, "sync.semaphore"),
            ns(loads * count, "act_time.table_load"),
        ))
        for count in (32, 256)
    )  # fmt: skip


PROBES = (
    Probe(
        "scalar copy", functions_back_to_back, source, ("act_time.overhead",),
        "the time of one more copy, less its elements", _points({"functions": "copy"}, "act_time.overhead"),
    ),
    Probe(
        "scalar exp", functions_back_to_back, source, ("act_time.overhead_function",),
        "the time of one more exponential, less its elements",
        _points({"functions": "exp"}, "act_time.overhead_function"),
    ),
    Probe(
        "scalar tables", function_chain, source, ("act_time.table_load",),
        "the time of one more link whose function is of another table, less one of the same",
        _chain("exp and gelu", "act_time.result", loads=1),
    ),
    Probe(
        "scalar sum", sums_back_to_back, source, ("act_time.reduce_readout",),
        "the time of one more copy with a sum, less one without",
        _points({}, "act_time.overhead", (cycles(1, "act_time.reduce_readout", "act"),)),
    ),
    Probe(
        "scalar copy chain", function_chain, source, ("act_time.result_copy",),
        "the time of one more link, less its elements and a semaphore", _chain("copy", "act_time.result_copy"),
    ),
    Probe(
        "scalar exp chain", function_chain, source, ("act_time.result",),
        "the time of one more link, less its elements and a semaphore", _chain("exp", "act_time.result"),
    ),
)  # fmt: skip
