# SPDX-License-Identifier: Apache-2.0
"""Rules that the compiler for a device, or the device itself, is reported to have and AWS's simulator has not.

What breaks one is raised or collected, as the findings of detectors are, once a kernel line.
"""

from __future__ import annotations

from nkisim.errors import DeviceRisk, DtypeError, EngineError, LoopError, SimulationError, ViewError
from nkisim.execution.neuron_core import NeuronCore, current_core
from nkisim.memory import Columns, NkiTensor
from nkisim.observe import Finding, Note
from nkisim.operations import checks
from nkisim.operations.operation import Operation


def refused(error: SimulationError) -> None:
    """`error` is raised, or collected once a kernel line."""
    current_core().watch.report(Finding(error))


def in_scope(core: NeuronCore, opcode: str, operation: Operation) -> None:
    """No operand was made in the body of a device loop whose iteration is over."""
    for t in (*operation.reads, *operation.writes):
        index = None if t.indirection is None else t.indirection.index
        for used in (t, index) if isinstance(index, NkiTensor) else (t,):
            if core.scopes.is_over(core.age(used.storage)):
                error = LoopError(
                    "a tensor made in the body of a device loop is used within its iteration only: the body is traced "
                    "once, and nothing outside can mean it",
                    f"{opcode} uses the {used.storage} afterwards",
                    "Make it before the loop.",
                )
                refused(error)


def runtime_index(t: NkiTensor) -> None:
    """What a view with a runtime index may look like.

    A gather stays in the row of its index: one that went on into the next rows read other data on a device. A tile with
    an offset into SBUF or PSUM is uint32.
    """
    how = t.indirection
    if how is None or isinstance(how, Columns):
        return
    if how.per_partition:
        reach = sum(abs(step) * (n - 1) for step, n in zip(t.strides[1:], t.shape[1:], strict=True))
        if reach >= how.stride:
            error: SimulationError = ViewError(
                "a gather or scatter stays in the row that its index names: a device wrapped around in it",
                f"{reach + 1} elements of rows of {how.stride}",
                "Give every row an index, or reshape to longer rows.",
            )
            refused(error)
    elif t.buffer.is_on_chip and isinstance(how.index, NkiTensor):
        if how.index.dtype != "uint32":
            error = DtypeError(
                "a tile with an offset into SBUF or PSUM is uint32", f"{how.index.dtype}", "Cast it with tensor_copy."
            )
            refused(error)
        _offset_of_a_part(t)


def _offset_of_a_part(t: NkiTensor) -> None:
    """Notes an offset into a part of an on-chip tensor."""
    if t.offset or t.shape[0] != checks.PARTITIONS:
        error = DeviceRisk(
            "an offset in a tile is added to a view of all 128 partitions that starts where its tensor does",
            f"{t.shape[0]} partitions from element {t.offset}",
            "Make the tensor of that size, or load the offset into a register.",
        )
        current_core().watch.report(Note(error))


def one_free_dimension(operand: str, t: NkiTensor) -> None:
    """One step describes the columns that the PE loads; with more of them a device loaded others."""
    if t.ndim > 2 and len(dims := checks.merged_dims(t)) > 1:
        error = ViewError(
            f"one step describes the columns of {operand}: devices were seen to multiply others",
            f"[step, count] {dims}",
            "Copy it to a contiguous tile, or make it the moving operand.",
        )
        refused(error)


def no_fp8_on_gpsimd(*named: tuple[str, NkiTensor]) -> None:
    """GpSimd's arithmetic on two tiles has no fp8."""
    found = [f"{operand} is {t.dtype}" for operand, t in named if t.dtype.startswith("float8")]
    if found:
        refused(EngineError("GpSimd combines no fp8 tiles", ", ".join(found), "Leave engine unset."))


def not_int32(opcode: str, data: NkiTensor) -> None:
    """Arithmetic across partitions has no 32-bit integers."""
    if data.dtype == "int32":
        refused(DtypeError(f"{opcode} adds and compares no int32", "int32 data", "Copy it to a float32 tile first."))


def aligned_transpose(dst: NkiTensor) -> None:
    """A transpose by the DMA's own descriptors writes whole 32 bytes."""
    byte = dst.offset * dst.dtype.itemsize % dst.storage.row_bytes + (dst.storage.address or (0, 0))[1]
    if byte % 32:
        refused(ViewError("the dst of a hwdge transpose starts at 32 bytes", f"byte {byte}", "Align it."))
