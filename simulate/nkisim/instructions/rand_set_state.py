"""rand_set_state: load the state of an engine's random number generators."""

from __future__ import annotations

from typing import Any

from nkisim.errors import ShapeError
from nkisim.instructions import checks
from nkisim.instructions.enums import engine as Engine
from nkisim.instructions.operation import Operation, instruction
from nkisim.instructions.random_numbers import GENERATORS, WORDS, generators, lanes_of
from nkisim.memory import NkiTensor
from nkisim.observe import Work


@instruction
def rand_set_state(src_seeds: NkiTensor, engine: Engine = Engine.gpsimd, name: str | None = None) -> Operation:
    """Lane p's generators continue from the XORWOW states in src_seeds[p]; their bit streams are nkisim's own."""
    unit = check_state("src_seeds", src_seeds, engine, "rand_set_state")
    checks.in_sbuf(("src_seeds", src_seeds))
    lanes = lanes_of(src_seeds)

    def load(values: Any) -> Any:
        state = generators(unit).state
        state[lanes] = values.reshape(state[lanes].shape)
        return ()

    return Operation(unit, (src_seeds,), (), load, Work(checks.free_size(src_seeds)), name=name)


def check_state(operand: str, t: NkiTensor, engine: Engine, instruction: str) -> Engine:
    """The engine, whose generators have states of the size of the tile."""
    checks.generation(3, instruction)
    unit = checks.choose_engine(engine, (Engine.gpsimd, Engine.vector), Engine.gpsimd)
    if unit is Engine.vector:
        checks.generation(4, f"{instruction} on the Vector Engine")
    checks.on_chip((operand, t))
    checks.dtype_in(operand, t, ("uint32",))
    words = GENERATORS[unit] * WORDS
    if t.ndim != 2 or t.shape[1] != words:
        raise ShapeError(f"{operand} is [lanes, {words}] for {unit.name}", f"{t.shape}", "Fix its shape.")
    return unit
