# SPDX-License-Identifier: Apache-2.0
"""What a kernel may ask about its launch, and the markers it may leave."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from nkisim.errors import ArgumentError, BufferRuleError
from nkisim.execution.neuron_core import current_core
from nkisim.execution.taps import save
from nkisim.memory import MemoryRegion, NkiTensor, described, first_unwritten, resolve


def program_id(axis: int = 0) -> int:
    """Index of this core in the launch grid, 0 or 1; axis is 0.

    Raises:
        ArgumentError: another axis.
    """
    _check_axis(axis)
    return current_core().identity


def num_programs(axes: int | tuple[int, ...] | None = 0) -> int:
    """Cores in the launch, 1 or 2; axes is 0, (0,) or None.

    Raises:
        ArgumentError: another axis.
    """
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
    """Print the values of an SBUF or HBM tensor of any shape, now, behind `print_prefix` and the core.

    With NEURON_RT_DEBUG_OUTPUT_DIR they also go to a file, in the folders the runtime uses on a device:
    `print_prefix/core_0/0/tensor.npy` for the first time, 1 for the next.

    Raises:
        ArgumentError: print_prefix is no string.
        BufferRuleError: tensor is in PSUM, or none.
    """
    core = current_core()
    if not isinstance(print_prefix, str):
        raise ArgumentError("print_prefix is a constant string", f"{print_prefix!r}", "Pass a literal.")
    if not isinstance(tensor, NkiTensor) or tensor.buffer is MemoryRegion.psum:
        raise BufferRuleError("device_print shows SBUF and HBM tensors", described(tensor), "Copy it to SBUF first.")
    if core.only_traces:
        return
    region = resolve(tensor)
    first_unwritten(region)  # gives such bytes their defined value
    values = core.numerics.values(region)
    print(f"{print_prefix} (core {core.identity})\n{values}")
    folder = os.environ.get("NEURON_RT_DEBUG_OUTPUT_DIR")
    if folder:
        printed: dict[str, int] = core.engine_state.setdefault("printed", {})
        place = Path(folder, print_prefix, f"core_{core.identity}", str(printed.setdefault(print_prefix, 0)))
        place.mkdir(parents=True, exist_ok=True)
        save(place / "tensor.npy", values)
        printed[print_prefix] += 1
