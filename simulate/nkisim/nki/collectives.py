# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.collectives`. nkisim simulates one logical core, so a group of one rank is all it can serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkisim.errors import ArgumentError, NotSimulated, ShapeError
from nkisim.execution.registers import VirtualRegister
from nkisim.instructions.dma_copy import dma_copy
from nkisim.language.nki_object import NKIObject
from nkisim.memory import NkiTensor
from nkisim.nki._names import missing_names as _missing_names
from nkisim.operations import checks
from nkisim.operations.operators import OPERATORS

_Tensors = list[NkiTensor]


@dataclass(init=False)
class ReplicaGroup(NKIObject):
    """Ranks that take part in a collective, as lists of ranks that do not overlap.

    Attributes:
        groups: for example [[0, 1], [2, 3]].
    """

    groups: list[list[int]]

    def __init__(self, groups: list[list[int]]) -> None:
        self.groups = groups
        ranks = [rank for group in groups for rank in group]
        if not ranks or len(set(ranks)) != len(ranks):
            raise ArgumentError("the groups are not empty and do not overlap", f"{groups}", "List each rank once.")


def all_reduce(
    srcs: _Tensors, dsts: _Tensors, replica_group: ReplicaGroup, op: Any, priority: int | None = None,
    name: str | None = None,
) -> None:  # fmt: skip
    """dsts = srcs reduced over the ranks: of one rank, srcs itself."""
    _reduction(op)
    _copy_of_one_rank("all_reduce", replica_group, srcs, dsts, priority, name)


def all_gather(
    srcs: _Tensors, dsts: _Tensors, replica_group: ReplicaGroup, collective_dim: int, priority: int | None = None,
    name: str | None = None,
) -> None:  # fmt: skip
    """dsts = the srcs of all ranks behind each other: of one rank, srcs itself."""
    _dimension(collective_dim, srcs)
    _copy_of_one_rank("all_gather", replica_group, srcs, dsts, priority, name)


def reduce_scatter(
    srcs: _Tensors, dsts: _Tensors, replica_group: ReplicaGroup, collective_dim: int, op: Any,
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    """dsts = this rank's part of the reduced srcs: of one rank, srcs itself."""
    _reduction(op)
    _dimension(collective_dim, srcs)
    _copy_of_one_rank("reduce_scatter", replica_group, srcs, dsts, priority, name)


def all_to_all(
    srcs: _Tensors, dsts: _Tensors, replica_group: ReplicaGroup, collective_dim: int, priority: int | None = None,
    name: str | None = None,
) -> None:  # fmt: skip
    """dsts = the parts all ranks sent to this one: of one rank, srcs itself."""
    _dimension(collective_dim, srcs)
    _copy_of_one_rank("all_to_all", replica_group, srcs, dsts, priority, name)


def rank_id(name: str | None = None) -> VirtualRegister:
    """The rank of this logical core, which is 0."""
    return VirtualRegister(0)


def _copy_of_one_rank(
    collective: str, group: ReplicaGroup, srcs: _Tensors, dsts: _Tensors, priority: int | None, name: str | None
) -> None:
    if not isinstance(group, ReplicaGroup):
        raise ArgumentError("replica_group is a ReplicaGroup", f"{group!r}", "Make one from lists of ranks.")
    if group.groups != [[0]]:
        raise NotSimulated(
            "nkisim simulates one logical core, rank 0",
            f"{collective} over {group.groups}",
            "Test with ReplicaGroup([[0]]), or simulate the exchange on the host.",
        )
    if len(srcs) != len(dsts) or len({t.buffer.is_hbm for t in (*srcs, *dsts)}) != 1:
        raise ArgumentError("srcs and dsts pair up in one memory", f"{srcs} to {dsts}", "Use HBM or SBUF for all.")
    for source, target in zip(srcs, dsts, strict=True):
        if source.shape != target.shape:
            raise ShapeError("with one rank dst has src's shape", f"{target.shape}, {source.shape}", "Fix the shape.")
        checks.same_dtype("dst", target, "src", source)
        dma_copy(target, source, priority=priority, name=name)


def _reduction(op: Any) -> None:
    if op not in [OPERATORS[name] for name in ("add", "minimum", "maximum")]:
        raise ArgumentError("op is nl.add, nl.minimum or nl.maximum", f"{op!r}", "Use one of them.")


def _dimension(dim: int, srcs: _Tensors) -> None:
    allowed = (0,) if all(t.buffer.is_hbm for t in srcs) else (0, 1)
    if dim not in allowed:
        raise ArgumentError("collective_dim is 0, or 0 or 1 in SBUF", f"{dim}", "Move the dimension to the front.")


__getattr__ = _missing_names("nki.collectives")

__all__ = ["ReplicaGroup", "all_gather", "all_reduce", "all_to_all", "rank_id", "reduce_scatter"]
