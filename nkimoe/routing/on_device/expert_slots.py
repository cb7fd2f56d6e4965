# SPDX-License-Identifier: Apache-2.0
"""The slot of each token at each of its experts among its group's tokens alone, and how many tokens each group has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, ceil_div, spans
from nkimoe.routing.on_device.choices import like, load_choices, only_experts
from nkimoe.routing.on_device.counts import Ones
from nkimoe.routing.on_device.largest import AT_ONCE, find_largest, room
from nkimoe.routing.on_device.listed import numbers
from nkimoe.routing.on_device.token_groups import KEPT_BYTES, TokenGroups

COMPARED_BYTES = 16384  # of a partition, for comparing choices with experts
EXACT_IN_BF16 = 256


class Group(NamedTuple):
    """A group of tokens.

    Attributes:
        tokens: their numbers.
        ids: fp32 [128, n, K], -1 for what is no expert.
        listed: bf16 [128, E] of each tile, how often each token counts for an expert.
    """

    tokens: Span
    ids: Any
    listed: list[Any]


class ExpertSlots:
    """The slots of each group's tokens, by expert, then token, one behind the other.

    Args:
        expert_ids: int32 [T, K] in HBM; ids outside 0..E-1 are ignored.
        limit: how often a token counts for an expert at most.
        first: the first slot of every group.

    Attributes:
        counts: fp32 [128, tiles of 128 experts, groups], an expert a partition: tokens of each group, of all cores.
    """

    def __init__(self, expert_ids: Any, n_experts: int, groups: TokenGroups, limit: int, first: int) -> None:
        self._ids, self._n_experts, self._groups = expert_ids, n_experts, groups
        self._limit, self._first = limit, first
        self._ones, self._one_hots = Ones(numbers(n_experts)), OneHots(n_experts)
        self._not_earlier = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.bfloat16, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=self._not_earlier, data1=self._ones.all, data2=self._ones.earlier, op=nl.subtract)
        self._one = nl.ndarray((1, PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=self._one, value=1, engine=nisa.engine.gpsimd)
        fits = groups.steps * groups.tiles * 2 * n_experts <= KEPT_BYTES
        self._kept = [self._load(index) for index in groups.own] if fits else []
        self.counts = self._count()

    def groups(self) -> Iterator[Group]:
        """This core's; loaded when they are asked for, unless all fit on chip."""
        return iter(self._kept) if self._kept else map(self._load, self._groups.own)

    def _load(self, index: int) -> Group:
        tokens = self._groups.all[index]
        ids = only_experts(load_choices(self._ids, tokens, -1), self._n_experts)
        listed = [self._one_hots.sum(ids[:, n, :], self._limit) for n in range(ids.shape[1])]
        return Group(tokens, ids, listed)

    def _count(self) -> Any:
        """`counts`."""
        experts = spans(self._n_experts, PARTITIONS)
        own = nl.ndarray((PARTITIONS, len(experts), self._groups.steps), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=own, value=0, engine=nisa.engine.gpsimd)
        for step, group in enumerate(self.groups()):
            for e, some in enumerate(experts):
                sums = nl.ndarray((some.size, 1), dtype=nl.float32, buffer=nl.psum)
                for n, listed in enumerate(group.listed):
                    nisa.nc_matmul(
                        dst=sums, stationary=listed[:, some.slice], moving=self._ones.all[:, 0:1], accumulate=n > 0
                    )
                nisa.tensor_copy(dst=own[: some.size, e, step : step + 1], src=sums)
        return own if nl.num_programs(0) == 1 else self._of_all_cores(own)

    def _of_all_cores(self, own: Any) -> Any:
        core, theirs = nl.program_id(0), like(own)
        nisa.sendrecv(src=own, dst=theirs, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
        _, tiles, steps = own.shape
        result = nl.ndarray((PARTITIONS, tiles, steps, 2), dtype=nl.float32, buffer=nl.sbuf)
        for of_core, counts in ((core, own), (1 - core, theirs)):
            nisa.tensor_copy(dst=result[:, :, :, of_core], src=counts)
        return result.reshape((PARTITIONS, tiles, steps * 2))

    def of(self, group: Group) -> Any:
        """fp32 [128, n, K or more]: one more than the slots of each token, descending; then 0 or less."""
        width = ceil_div(group.ids.shape[2], AT_ONCE) * AT_ONCE
        result = nl.ndarray((PARTITIONS, len(group.listed), width), dtype=nl.float32, buffer=nl.sbuf)
        own = [room(PARTITIONS, self._n_experts) for _ in group.listed]
        starts = self._starts(group)
        for columns in spans(self._n_experts, PSUM_COLUMNS):
            self._place([slots[:, columns.slice] for slots in own], group, starts, columns)
        for n, slots in enumerate(own):
            for _ in find_largest(result[:, n, :], slots):
                pass
        return result

    def _starts(self, group: Group) -> Any:
        """fp32 [128, E], equal rows: one more than the first slot of each expert, so that 0 is no slot."""
        own, up_to, ones = (nl.ndarray((PARTITIONS, self._n_experts), dtype=nl.float32, buffer=nl.sbuf) for _ in "123")
        for columns in spans(self._n_experts, PSUM_COLUMNS):
            sums = nl.ndarray((PARTITIONS, columns.size), dtype=nl.float32, buffer=nl.psum)
            for n, listed in enumerate(group.listed):
                nisa.nc_matmul(dst=sums, stationary=self._ones.all, moving=listed[:, columns.slice], accumulate=n > 0)
            nisa.tensor_copy(dst=own[:, columns.slice], src=sums)
        nisa.memset(dst=ones, value=1, engine=nisa.engine.gpsimd)
        start = float(self._first + 1)
        nisa.tensor_tensor_scan(dst=up_to, data0=ones, data1=own, initial=start, op0=nl.multiply, op1=nl.add)
        result = like(own)
        nisa.tensor_tensor(dst=result, data1=up_to, data2=own, op=nl.subtract)
        return result

    def _place(self, dst: list[Any], group: Group, starts: Any, columns: Span) -> None:
        """One more than the slots of each tile's tokens, 0 at experts that they do not list.

        PSUM holds where each expert's next tokens go: tokens of a tile before each, then the others are added.
        """
        slots = nl.ndarray((PARTITIONS, columns.size), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(
            dst=slots, stationary=self._one, moving=starts[0:1, columns.slice], is_stationary_onezero=True,
            accumulate=False,
        )  # fmt: skip
        for own, listed in zip(dst, group.listed, strict=True):
            counted = listed[:, columns.slice]
            nisa.nc_matmul(dst=slots, stationary=self._ones.earlier, moving=counted, accumulate=True)
            nisa.scalar_tensor_tensor(
                dst=own, data=counted, op0=nl.greater, operand0=0.0, op1=nl.multiply, operand1=slots
            )
            nisa.nc_matmul(dst=slots, stationary=self._not_earlier, moving=counted, accumulate=True)


class OneHots:
    """How often tokens list each expert, summed over choices on the PE."""

    def __init__(self, n_experts: int) -> None:
        dtype = nl.bfloat16 if n_experts <= EXACT_IN_BF16 else nl.float32
        self._experts = nl.ndarray((PARTITIONS, n_experts), dtype=dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=self._experts, src=numbers(n_experts))
        distance = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
        self._identity = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.bfloat16, buffer=nl.sbuf)
        nisa.iota(dst=distance, pattern=[[1, PARTITIONS]], offset=0, channel_multiplier=-1)
        nisa.tensor_scalar(dst=self._identity, data=distance, op0=nl.equal, operand0=0.0)

    def sum(self, ids: Any, limit: int) -> Any:
        """bf16 [128, E] of fp32 ids [128, K]; what is listed more often than `limit` counts as often."""
        top_k, n_experts = ids.shape[1], self._experts.shape[1]
        result = nl.ndarray((PARTITIONS, n_experts), dtype=nl.bfloat16, buffer=nl.sbuf)
        at_once = max(1, COMPARED_BYTES // (2 * n_experts))
        for columns in spans(n_experts, PSUM_COLUMNS):
            sums = nl.ndarray((PARTITIONS, columns.size), dtype=nl.float32, buffer=nl.psum)
            for some in spans(top_k, at_once):
                one_hots = self._compare(ids[:, some.slice], columns)
                for n in range(some.size):
                    nisa.nc_matmul(
                        dst=sums, stationary=self._identity, moving=one_hots[:, n, :], accumulate=some.start + n > 0
                    )
            if limit < top_k:
                nisa.tensor_scalar(dst=result[:, columns.slice], data=sums, op0=nl.minimum, operand0=float(limit))
            else:
                nisa.tensor_copy(dst=result[:, columns.slice], src=sums, engine=nisa.engine.scalar)
        return result

    def _compare(self, ids: Any, columns: Span) -> Any:
        """bf16 [128, choices, columns]: 1 where a choice is the expert."""
        count, n_experts, dtype = ids.shape[1], self._experts.shape[1], self._experts.dtype
        short = nl.ndarray((PARTITIONS, count), dtype=dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=short, src=ids)
        shape = (PARTITIONS, count, columns.size)
        result = nl.ndarray(shape, dtype=nl.bfloat16, buffer=nl.sbuf)
        experts = self._experts.ap(
            pattern=[[n_experts, PARTITIONS], [0, count], [1, columns.size]], offset=columns.start
        )
        chosen = short.ap(pattern=[[count, PARTITIONS], [1, count], [0, columns.size]])
        nisa.tensor_tensor(dst=result, data1=experts, data2=chosen, op=nl.equal)
        return result
