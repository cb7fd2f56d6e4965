# SPDX-License-Identifier: Apache-2.0
"""What is true of every use of an instruction, declared with it, so that readers of events need no names."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CostClass(enum.Enum):
    """The kind of work an instruction does, in words: with the engine, what its duration is a formula of."""

    copy = "each element once, unchanged or cast"
    fill = "one constant everywhere"
    pattern = "elements that follow from their position"
    elementwise = "one tensor, with numbers or a column a partition"
    two_input_elementwise = "two tensors of one size"
    elementwise_reduction = "elementwise, and reduced into registers that another small instruction reads out"
    reduction = "along free dimensions"
    partition_reduction = "across partitions"
    scan = "a running operation over one tensor"
    two_input_scan = "a running operation over two tensors"
    statistics = "mean and variance of elements"
    statistics_merge = "mean and variance of means and variances"
    selection = "elements kept or replaced by a condition"
    search = "the largest elements, or where given ones occur"
    compaction = "positions of the elements that are not zero, moved together"
    gather = "elements at runtime positions of their own partitions"
    shuffle = "partitions exchanged within a quadrant"
    reciprocal = "one over each element"
    exponential = "the exponential of each element"
    activation = "a function of the tables of the Scalar Engine"
    activation_reduction = "a function of the tables, and reduced into registers as well"
    mx_quantization = "scales and elements of an MX format"
    random = "random bits, one number an element"
    random_range = "random numbers of a range, by all generators of a lane"
    generator_state = "state of random number generators, loaded or stored"
    matmul = "columns of the moving tile through the PE"
    transpose = "partition and free dimensions exchanged"
    transfer = "bytes moved by DMA engines"
    accumulating_transfer = "terms added inside the DMA engines"
    register = "a register set from a register or a constant"
    register_memory = "a register loaded from memory or stored to it"
    barrier = "nothing but waiting for the other core"


class Meeting(enum.Enum):
    """How the two cores meet in an instruction, and which accesses are ordered by that."""

    barrier = enum.auto()
    """Accesses to the tensor in `details["barrier"]`."""
    exchange = enum.auto()
    """All accesses."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Of an instruction.

    Attributes:
        cost: the kind of its work.
        meeting: how the cores meet in it; None where they do not.
    """

    cost: CostClass
    meeting: Meeting | None = None
