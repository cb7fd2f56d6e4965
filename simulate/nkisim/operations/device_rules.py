"""Rules that the compiler for a device, or the device itself, is reported to have and AWS's simulator has not.

What breaks one is raised or collected, as the findings of detectors are, once a kernel line.
"""

from __future__ import annotations

from nkisim.errors import DtypeError, EngineError, LoopError, SimulationError, ViewError
from nkisim.execution.neuron_core import NeuronCore, current_core
from nkisim.memory import NkiTensor
from nkisim.observe import Finding
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
