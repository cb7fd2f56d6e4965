"""A page for every name of `nki.language`, in tables, and for functions of tiles and tensors with their calls."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import nkisim.nki.language as nl
from nkisim.dtypes import DTYPES
from nkisim.machine import target_from_environment
from nkisim.memory import MemoryRegion
from nkisim.operations.activation_range import RANGES
from nkisim.operations.operator_help import FORMULAS
from nkisim.operations.operators import Operator
from website.markdown import call, code, docstring, escaped, table

FOLDER = "reference/language"
MEMORIES = {
    MemoryRegion.sbuf: "on chip, 128 partitions: what engines compute on",
    MemoryRegion.psum: "on chip, 128 partitions of 8 banks of 2 KiB: where the Tensor Engine writes",
    MemoryRegion.private_hbm: "of one core; `nl.hbm` is the same",
    MemoryRegion.shared_hbm: "of both cores; what a kernel returns lies here",
}

_INTRODUCTION = """\
Every name of `nki.language` that nkisim provides, imported as `nl`; [instructions](../isa/index.md) are those of
`nki.isa`. What refuses and why is in [coverage](../../simulator/coverage.md). A tile is a tensor in SBUF or PSUM,
its dimension 0 the partitions, P of at most 128. A broken rule raises an error with its code and the line of the
kernel; [limits](../../simulator/limits.md) has those for all accesses."""
_OPERATORS = """\
What instructions take as `op=`. Called on tiles, `nl.add(x, y)` and `nl.exp(x)` give a new SBUF tile: tiles of one
rank whose sizes are equal or 1, or a tile and a number. ALU is the Vector Engine and GpSimd; of functions of the
Scalar Engine's tables, some are valid for some magnitudes only."""


def language_pages() -> dict[str, str]:
    """The text of the page by its name."""
    return {f"{FOLDER}/index.md": "\n\n".join(_page())}


def language_names() -> dict[str, Any]:
    """Every public name of `nki.language`, with what it is."""
    return {name: getattr(nl, name) for name in sorted(nl.__all__, key=str.casefold)}


def _page() -> Iterator[str]:
    names = language_names()
    yield "# Language"
    yield _INTRODUCTION
    yield "## Data types"
    yield table(("Name", "Bytes", "Kind", "On the host"), map(_data_type, DTYPES))
    yield "## Memories"
    yield table(("Name", "What"), ((f"`nl.{region.name}`", text) for region, text in MEMORIES.items()))
    yield "## Operators"
    yield _OPERATORS
    yield table(
        ("Operator", "Result", "ALU", "Scalar Engine", "Reduces"),
        (_operator(name, op) for name, op in names.items() if isinstance(op, Operator)),
    )
    yield "## Functions"
    for name, value in names.items():
        if inspect.isfunction(value):
            yield from (f"### {name}", code(call(f"nl.{name}", value)), docstring(inspect.getdoc(value) or ""))
    yield "## Tensors and grids"
    for name, value in names.items():
        if inspect.isclass(value) and not issubclass(value, str | MemoryRegion):
            yield from (f"### {name}", docstring(inspect.getdoc(value) or ""), _methods(value))
    yield "## Limits"
    yield docstring(inspect.getdoc(nl.tile_size) or "")
    yield table(
        ("Name", f"On {target_from_environment()}"),
        ((f"`nl.tile_size.{name}`", f"{size:,}") for name, size in _sizes()),
    )


def _data_type(name: str) -> tuple[str, ...]:
    dtype = DTYPES[name]
    host = "four values an element" if dtype.kind == "packed" else f"`{dtype.numpy.name}`"
    return f"`nl.{'bool_' if name == 'bool' else name}`", str(dtype.itemsize), dtype.kind, host


def _operator(name: str, op: Operator) -> tuple[str, ...]:
    low, high = RANGES.get(name, (0.0, 0.0))
    tables = "" if not op.activation else f"{low:.3g} to {high:.3g}" if high else "yes"
    return f"`nl.{name}`", f"`{FORMULAS[name]}`", "yes" * op.alu, tables, "yes" * op.reducible


def _methods(value: type) -> str:
    """What a class offers, with the first line of each docstring."""
    found = {
        name: inspect.getdoc(member)
        for name, member in inspect.getmembers(value)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }
    return table(("", "What"), ((f"`{name}`", escaped(text.split("\n\n")[0].replace("\n", " ")))
                               for name, text in found.items() if text)) if found else ""  # fmt: skip


def _sizes() -> Iterator[tuple[str, int]]:
    kind = type(nl.tile_size)
    for name in sorted(set(vars(kind)) - {"psum_min_align", "sbuf_min_align"}):
        if not name.startswith("_"):
            yield name, getattr(nl.tile_size, name)
