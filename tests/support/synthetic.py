"""A program as long as one likes, with the works of a small kernel; and what it takes to schedule it.

`python -m support.synthetic COUNT` prints seconds and bytes as JSON; a process of its own, so that both are its alone.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.machine import load_machine
from nkisim.observe import Event, Finding, Observer
from nkisim.timing import Order, timeline
from nkisim.timing.program import Program
from nkisim.timing.task import AFTER_ISSUE, AFTER_RESULT, Task

_STEPS = ("dma_copy", "dma_copy", "nc_matmul", "nc_matmul", "activation")
_DEEP = 4 * len(_STEPS)


def product(left_t: Any, right: Any) -> Any:
    """gelu(left_t.T @ right): halves of the [256, 128] and the [256, 512] in turn."""
    total = nl.ndarray((128, 512), nl.float32, buffer=nl.psum)
    for k in range(0, 256, 128):
        stationary, moving = nl.ndarray((128, 128), nl.float32), nl.ndarray((128, 512), nl.float32)
        nisa.dma_copy(stationary, left_t[k : k + 128])
        nisa.dma_copy(moving, right[k : k + 128])
        nisa.nc_matmul(total, stationary, moving)
    result = nl.ndarray((128, 512), nl.float32)
    nisa.activation(result, nl.gelu, total)
    out = nl.ndarray((128, 512), nl.float32, buffer=nl.private_hbm)
    nisa.dma_copy(out, result)
    return out


class _Examples(Observer):
    """The works of a kernel, by opcode."""

    def __init__(self) -> None:
        self.program = Program()
        self.works: dict[str, tuple[int, Event]] = {}

    def on_instruction(self, event: Event) -> list[Finding]:
        works = self.program.works
        reads, writes = (tuple(works.form(access) for access in of) for of in (event.reads, event.writes))
        self.works.setdefault(event.opcode, (works.number(event, (reads, writes)), event))
        return []


def synthetic(count: int) -> Program:
    """So many tasks: two loads, two matmuls, a function, and so on, four rounds deep, as a tiled product has it."""
    examples = _Examples()
    operands = np.zeros((256, 128), np.float32), np.zeros((256, 512), np.float32)
    nkisim.Simulator("trn2", 1, observers=[examples]).run(product, *operands)
    tasks = examples.program.tasks
    for number in range(count):
        opcode = _STEPS[number % len(_STEPS)]
        work, event = examples.works[opcode]
        queue = ("dma", "dge sync")[number % len(_STEPS)] if opcode == "dma_copy" else event.engine
        after = tuple(n * 2 + kind for n, kind in _before(number) if n >= 0)
        tasks.append(Task(number, 0, number, opcode, event.engine, event.position, None, queue, work, [], after))
    return examples.program


def _before(number: int) -> Iterator[tuple[int, int]]:
    """A matmul follows its load, the function both matmuls; a tile is free when its user of four rounds ago is done."""
    step = number % len(_STEPS)
    if step < 2:
        yield number + 2 - _DEEP, AFTER_ISSUE
    elif step < 4:
        yield number - 2, AFTER_RESULT
        yield number - step + 4 - _DEEP, AFTER_ISSUE
    else:
        yield number - 1, AFTER_RESULT
        yield number - 2, AFTER_RESULT


def main() -> None:
    """Schedule as many tasks as asked for, as a compiler orders them."""
    program, machine = synthetic(int(sys.argv[1])), load_machine("trn2")
    before = resource.getrusage(resource.RUSAGE_SELF)
    made = timeline(program, machine, Order.compiler)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    done = sum(at > 0 for at in made.done)
    print(json.dumps({"done": done, "seconds": seconds, "bytes": used.ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
