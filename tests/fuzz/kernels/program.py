"""Programs: drawn from a seed, written as files that run, checked and shrunk."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fuzz.kernels.arithmetic import ARITHMETIC
from fuzz.kernels.blocks import BLOCKS
from fuzz.kernels.draft import Draft, Statement
from fuzz.kernels.meaning import Unfit
from fuzz.kernels.moves import MOVES, load, store
from nkisim import Simulator

FILE = "case.py"

HEADER = '''"""A random kernel and its meaning. It runs alone: PYTHONPATH=tests:simulate python case.py"""

import sys

import numpy as np

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from fuzz.kernels.meaning import *
from fuzz.kernels.program import judge

TARGET, CORES, DMA = {target!r}, {cores}, {dma!r}
BITS = {bits}  # outputs whose every bit is known


'''


@dataclass(frozen=True)
class Program:
    """A kernel with its meaning.

    Attributes:
        dma: when transfers take place: "eager" or "late".
    """

    target: str
    cores: int
    dma: str
    statements: tuple[Statement, ...]

    def text(self) -> str:
        """The file."""
        inputs = {n: call for s in self.statements for n, call in s.inputs.items()}
        outputs = [s.output for s in self.statements if s.output]
        bits = [name for name, is_exact in outputs if is_exact]
        returned = f"    return {{{', '.join(f'{name!r}: {name}' for name, _ in outputs)}}}"
        named = f"    return ({', '.join(name for name, _ in outputs)},)"
        header = HEADER.format(target=self.target, cores=self.cores, dma=self.dma, bits=tuple(bits))
        parameters = ", ".join(inputs)
        drawn = "".join(f"        {name!r}: {call},\n" for name, call in inputs.items())
        return (
            f"{header}def inputs():\n    return {{\n{drawn}    }}\n\n\n"
            f"def kernel({parameters}):\n    core = nl.program_id()\n"
            + "\n".join(f"    {line}" for s in self.statements for line in s.kernel)
            + f"\n{named}\n\n\ndef meaning(core, {parameters}):\n    yield  # then at each exchange\n"
            + "\n".join(f"    {line}" for s in self.statements for line in _meaning(s))
            + f'\n{returned}\n\n\nif __name__ == "__main__":\n    judge(sys.modules[__name__])\n'
        )


def _meaning(statement: Statement) -> list[str]:
    """Its lines, in a generator that hands out what the other core gets."""
    if statement.exchange is None:
        return statement.meaning
    name, text = statement.exchange
    return [f"{name} = yield {text}", *statement.meaning]


def drawn(rng: np.random.Generator) -> Program:
    """A program of a few statements; every tile is an output in the end."""
    draft = Draft(rng, str(rng.choice(["trn2", "trn3"])), int(rng.choice([1, 1, 2])))
    draft.add(load(draft))
    kinds: Sequence[Callable[[Draft], Statement]] = (*MOVES, *ARITHMETIC, *BLOCKS)
    for _ in range(draft.number(2, 14)):
        attempt(draft, draft.choose(*kinds))
    for tile in list(draft.tiles):
        draft.add(store(draft, tile))
    return Program(draft.target, draft.cores, draft.choose("eager", "eager", "late"), tuple(draft.statements))


def attempt(draft: Draft, kind: Callable[[Draft], Statement]) -> None:
    """Say it, unless it does not fit."""
    try:
        draft.add(kind(draft))
    except Unfit:
        return


def run(text: str) -> None:
    """Execute the text of a program and judge it.

    Raises:
        AssertionError: a value is wrong. Anything else: a legal program was refused, or nkisim broke.
    """
    module = ModuleType("case")
    exec(compile(text, FILE, "exec"), vars(module))
    judge(module)


def run_case(rng: np.random.Generator, folder: Path) -> str:
    """A random program; if it fails, its file and a shorter one that fails alike are left in the folder."""
    program = drawn(rng)
    (folder / FILE).write_text(program.text(), "utf-8")
    try:
        run(program.text())
    except Exception:
        (folder / FILE).write_text(shrunk(program).text(), "utf-8")
        raise
    return "right"


def judge(module: ModuleType) -> None:
    """Run the kernel of a program's module and hold its outputs to the meaning."""
    given = module.inputs()
    cores = [module.meaning(core, **{n: v.copy() for n, v in given.items()}) for core in range(module.CORES)]
    expected = in_step(cores)
    done = Simulator(module.TARGET, lnc=module.CORES, dma=module.DMA).run(module.kernel, **given)
    for name, found in zip(expected[0], done.outputs, strict=True):
        for core, outputs in enumerate(expected):
            _compare(f"{name} of core {core}", found[core], outputs[name], name in module.BITS)


def in_step(cores: list[Generator[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What the meanings of all cores return. At each `yield` one gets what the other hands out."""
    arriving: list[Any] = [None] * len(cores)
    while True:
        offers, returned = [], []
        for core, value in zip(cores, arriving, strict=True):
            try:
                offers.append(copy.copy(core.send(value)))
            except StopIteration as end:
                returned.append(end.value)
        if returned:
            return returned
        arriving = offers[::-1]


def _compare(name: str, found: Any, wanted: Any, is_exact: bool) -> None:
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    assert a.shape == b.shape, f"{name}: shape {a.shape}, expected {b.shape}"
    if is_exact:
        assert found.dtype == wanted.dtype, f"{name}: {found.dtype}, expected {wanted.dtype}"
        bad = np.argwhere(a != b)
    else:
        bad = np.argwhere(~(np.abs(a - b) <= 2e-6 * np.maximum(1, np.abs(b))))
    if bad.size:
        at = tuple(bad[0])
        raise AssertionError(f"{name}: {len(bad)} of {a.size} values, first {list(at)}: {a[at]}, expected {b[at]}")


def failure(program: Program) -> str | None:
    """The kind of its failure, without the numbers in it."""
    try:
        run(program.text())
    except Exception as error:
        return f"{type(error).__name__} {''.join(c for c in str(error)[:60] if c.isalpha())}"
    return None


def shrunk(program: Program) -> Program:
    """The program without the statements that its failure does not need."""
    wanted = failure(program)
    for statement in reversed(program.statements):
        fewer = tuple(s for s in program.statements if s is not statement)
        smaller = replace(program, statements=fewer)
        if any(s.output for s in fewer) and failure(smaller) == wanted:
            program = smaller
    return program
