"""What is true of every use of an instruction, declared with it, so that readers of events need no names."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CostClass(enum.Enum):
    """The kind of work an instruction does: with the engine, what its duration is a formula of."""

    copy = enum.auto()
    """Each element once, unchanged or cast."""
    fill = enum.auto()
    """One constant everywhere."""
    pattern = enum.auto()
    """Elements that follow from their position."""
    elementwise = enum.auto()
    """One tensor, with numbers or a column a partition."""
    two_input_elementwise = enum.auto()
    """Two tensors of one size."""
    elementwise_reduction = enum.auto()
    """Elementwise, and reduced on the way into registers that another small instruction reads out."""
    reduction = enum.auto()
    """Along free dimensions."""
    partition_reduction = enum.auto()
    """Across partitions."""
    scan = enum.auto()
    """A running operation over one tensor."""
    two_input_scan = enum.auto()
    """A running operation over two tensors."""
    statistics = enum.auto()
    """Mean and variance of elements."""
    statistics_merge = enum.auto()
    """Mean and variance of means and variances."""
    selection = enum.auto()
    """Elements kept or replaced by a condition."""
    search = enum.auto()
    """The largest elements, or where given ones occur."""
    compaction = enum.auto()
    """Positions of the elements that are not zero, moved together."""
    gather = enum.auto()
    """Elements at runtime positions of their own partitions."""
    shuffle = enum.auto()
    """Partitions exchanged within a quadrant."""
    reciprocal = enum.auto()
    exponential = enum.auto()
    activation = enum.auto()
    """A function of the tables of the Scalar Engine."""
    activation_reduction = enum.auto()
    """The same, and reduced on the way into registers that another small instruction reads out."""
    mx_quantization = enum.auto()
    """Scales and elements of an MX format."""
    random = enum.auto()
    """Random bits, one number an element."""
    random_range = enum.auto()
    """Random numbers of a range, by all generators of a lane."""
    generator_state = enum.auto()
    """State of random number generators, loaded or stored."""
    matmul = enum.auto()
    transpose = enum.auto()
    """Partition and free dimensions exchanged."""
    transfer = enum.auto()
    """Bytes moved by DMA engines."""
    accumulating_transfer = enum.auto()
    """Terms added inside the DMA engines."""
    register = enum.auto()
    """A register set from a register or a constant."""
    register_memory = enum.auto()
    """A register loaded from memory or stored to it."""
    barrier = enum.auto()
    """Nothing but waiting for the other core."""


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
