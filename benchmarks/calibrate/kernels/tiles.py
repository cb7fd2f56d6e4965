"""Tiles for the other kernels."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl


def dtype_of(name: str) -> Any:
    """`bfloat16` and so on."""
    return getattr(nl, name)


def empty(columns: int, dtype: str = "float32", memory: str = "sbuf", partitions: int = 128) -> Any:
    """A new tile [partitions, columns]."""
    return nl.ndarray((partitions, columns), dtype=dtype_of(dtype), buffer=getattr(nl, memory))


def filled(columns: int, dtype: str = "float32", memory: str = "sbuf", partitions: int = 128) -> Any:
    """A new tile that something has written, by the Vector Engine."""
    tile = empty(columns, dtype, memory, partitions)
    nisa.memset(dst=tile, value=1 if "int" in dtype else 1.0, engine=nisa.engine.vector)
    return tile


def in_hbm(rows: int, columns: int, dtype: str = "float32") -> Any:
    """A new tensor [rows, columns] in HBM."""
    return nl.ndarray((rows, columns), dtype=dtype_of(dtype), buffer=nl.shared_hbm)
