# SPDX-License-Identifier: Apache-2.0
"""Pseudo random numbers of the engines.

Each lane of an engine has one or more XORWOW generators (Marsaglia, 2003): five words of xorshift and a counter that
steps by 362437. The algorithm and the size of the state are the documented ones of NeuronCore-v4; the order of words,
the seeding and thereby the bit streams are nkisim's own and differ from the hardware's, also on older generations,
where the Vector Engine has another algorithm. Equal seeds give equal numbers, on any machine.
"""

from __future__ import annotations

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import ShapeError
from nkisim.execution.neuron_core import current_core
from nkisim.memory import NkiTensor
from nkisim.operations import checks
from nkisim.operations.checks import PARTITIONS, start_partition
from nkisim.operations.enums import engine as Engine

WORDS = 6
GENERATORS = {Engine.gpsimd: 1, Engine.vector: 4}
_STEP = np.uint32(362437)


class Generators:
    """The generators of one engine: `state` is [lanes, generators a lane, words]."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.state = np.empty((PARTITIONS, count, WORDS), np.uint32)
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start every generator anew, each from its own hash of the seed."""
        words = self.state.size
        self.state = _hash(np.arange(words, dtype=np.uint64) + np.uint64(seed) * np.uint64(words)).reshape(
            self.state.shape
        )

    def draw(self, lanes: slice, count: int) -> Array:
        """[lanes, count] random 32-bit words; the generators of a lane take turns."""
        rounds = -(-count // self.count)
        x, y, z, w, v, d = np.moveaxis(self.state[lanes], 2, 0)
        result = np.empty((rounds, *x.shape), np.uint32)
        for i in range(rounds):
            t = x ^ (x >> np.uint32(2))
            x, y, z, w = y, z, w, v
            v = (v ^ (v << np.uint32(4))) ^ (t ^ (t << np.uint32(1)))
            d = d + _STEP
            result[i] = v + d
        self.state[lanes] = np.stack([x, y, z, w, v, d], axis=2)
        return result.transpose(1, 0, 2).reshape(x.shape[0], -1)[:, :count]

    def uniform(self, lanes: slice, count: int) -> Array:
        """[lanes, count] fp32 numbers in 0 <= u < 1, of 24 bits each."""
        return (self.draw(lanes, count) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def lanes_of(t: NkiTensor) -> slice:
    """The lanes that work on a tile: its partitions."""
    start = start_partition(t)
    return slice(start, start + t.shape[0])


def generators(engine: Engine) -> Generators:
    """The generators of the running core's `engine`. Before any seeding they start from seed 0."""
    state = current_core().engine_state
    key = f"{engine.name} generators"
    if key not in state:
        state[key] = Generators(GENERATORS[engine])
    made: Generators = state[key]
    return made


def _hash(values: Array) -> Array:
    """splitmix64, upper half."""
    z = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(32)).astype(np.uint32)


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
