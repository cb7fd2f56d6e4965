"""What a kernel may ask about its launch, and the markers it may leave."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nkisim.errors import ArgumentError
from nkisim.execution.neuron_core import current_core
from nkisim.memory import NkiTensor, resolve


def program_id(axis: int = 0) -> int:
    """Index of this core in the launch grid."""
    _check_axis(axis)
    return current_core().identity


def num_programs(axes: int | tuple[int, ...] | None = 0) -> int:
    """Cores in the launch."""
    for axis in (axes,) if isinstance(axes, int) else axes or ():
        _check_axis(axis)
    return current_core().count


def program_ndim() -> int:
    """Dimensions of the launch grid: 0 for a plain call, else 1."""
    return len(current_core().grid)


def _check_axis(axis: int) -> None:
    if axis != 0:
        raise ArgumentError("a launch grid has one axis", f"axis {axis}", "Use axis 0.")


@contextlib.contextmanager
def no_reorder() -> Iterator[None]:
    """Instructions inside run in program order. Functional execution is always in program order."""
    core = current_core()
    core.in_order += 1
    try:
        yield
    finally:
        core.in_order -= 1


def is_in_order() -> bool:
    """Whether the kernel is inside a `no_reorder` block."""
    return current_core().in_order > 0


def device_print(print_prefix: str, tensor: NkiTensor) -> None:
    """Print a tensor's values, now."""
    core = current_core()
    if core.only_traces:
        return
    print(f"{print_prefix} (core {core.identity})\n{core.numerics.values(resolve(tensor))}")
