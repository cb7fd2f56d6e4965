"""rand_get_state: store the state of an engine's random number generators."""

from __future__ import annotations

from nkisim.execution.neuron_core import current_core
from nkisim.instructions import checks
from nkisim.instructions.enums import engine as Engine
from nkisim.instructions.operation import Operation, instruction
from nkisim.instructions.rand_set_state import check_state
from nkisim.instructions.random_numbers import generators, lanes_of
from nkisim.memory import NkiTensor
from nkisim.observe import Work


@instruction
def rand_get_state(dst: NkiTensor, engine: Engine = Engine.gpsimd, name: str | None = None) -> Operation:
    """dst[p] = the XORWOW states of lane p's generators, as rand_set_state takes them."""
    unit = check_state("dst", dst, engine, "rand_get_state")
    checks.gpsimd_stays_out_of_psum(unit, ("dst", dst))
    if current_core().machine.generation < 4:
        checks.in_sbuf(("dst", dst))
    checks.writable("dst", dst)
    state = generators(unit).state[lanes_of(dst)].copy()
    return Operation(unit, (), (dst,), lambda: state, Work(checks.free_size(dst)), name=name)
