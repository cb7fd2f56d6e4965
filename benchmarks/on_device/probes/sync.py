"""Sequencers: semaphores, registers, runtime addresses, device loops; two cores that meet."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from nkisim.fitting import Term
from on_device.probes.probe import Array, Point, Probe, Sizes, cycles, ns, stream
from on_device.probes.tiles import PARTITIONS, hand_back, load, sbuf, source

COLUMNS = 64


def number(sizes: Sizes) -> tuple[Array, ...]:
    """Zero, int32 [1, 1], and rows to load, float32 [128, 2048]."""
    return (np.zeros((1, 1), np.int32), *source(sizes))


@nki.jit
def turns_of_two_engines(x: Any, count: int) -> Any:
    """Vector and Scalar Engine overwrite in turn what the other has just read: no one waits for a result."""
    tile = load(x)
    a, b, c, d = (tile[:, n * COLUMNS : (n + 1) * COLUMNS] for n in range(4))
    for _ in range(count):
        for read, written in ((a, d), (b, c)):
            nisa.tensor_copy(dst=written, src=read, engine=nisa.engine.vector)
            nisa.activation(dst=read, op=nl.copy, data=c if written is d else d)
    return hand_back(tile)


@nki.jit
def register_loads(zero: Any, x: Any, count: int) -> Any:
    """`count` loads of a register."""
    register = nisa.register_alloc()
    for _ in range(count):
        nisa.register_load(dst=register, src=zero)
    return _loaded_at(x, register)


@nki.jit
def register_moves(zero: Any, x: Any, count: int) -> Any:
    """`count` moves of a constant into a register."""
    register = nisa.register_alloc()
    for _ in range(count):
        nisa.register_move(dst=register, src=0)
    return _loaded_at(x, register)


def _loaded_at(x: Any, register: Any) -> Any:
    """A column of x, at the address in the register."""
    result = sbuf(1)
    nisa.dma_copy(dst=result, src=x.ap(pattern=[[2048, PARTITIONS], [1, 1]], scalar_offset=register, indirect_dim=1))
    return hand_back(result)


@nki.jit
def loads_at_register(zero: Any, x: Any, count: int) -> Any:
    """`count` loads of a column at the address in a register."""
    register, tiles = nisa.register_alloc(), sbuf(count)
    nisa.register_load(dst=register, src=zero)
    for n in range(count):
        there = x.ap(pattern=[[2048, PARTITIONS], [1, 1]], scalar_offset=register, indirect_dim=1)
        nisa.dma_copy(dst=tiles[:, n : n + 1], src=there, dge_mode=nisa.dge_mode.hwdge)
    return hand_back(tiles[:, count - 1 :])


@nki.jit
def barriers(x: Any, count: int) -> Any:
    """`count` meetings of two cores."""
    out = nl.ndarray((2, PARTITIONS), dtype=nl.float32, buffer=nl.shared_hbm)
    core = nl.program_id(0)
    nisa.dma_copy(dst=out[core : core + 1, :], src=x[0:1, 0:PARTITIONS], dge_mode=nisa.dge_mode.none)
    for _ in range(count):
        nisa.core_barrier(data=out, cores=(0, 1))
    return out


@nki.jit
def exchanges(x: Any, count: int) -> Any:
    """`count` exchanges of a tile between two cores, each sending what it received last."""
    tile, other = load(x), sbuf(x.shape[1])
    core = nl.program_id(0)
    for _ in range(count):
        nisa.sendrecv(src=tile, dst=other, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
        tile, other = other, tile
    out = nl.ndarray((PARTITIONS, 2), dtype=nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out[:, core : core + 1], src=tile[:, 0:1], dge_mode=nisa.dge_mode.none)
    return out


@nki.jit
def loop(x: Any, iterations: int, behind: int) -> Any:
    """A result that is handed back, then a device loop over one instruction, then `behind` more of it."""
    tile = load(x)
    out = hand_back(tile)

    def step(_: Any) -> None:
        nisa.tensor_copy(dst=tile[:, 0:COLUMNS], src=tile[:, COLUMNS : 2 * COLUMNS], engine=nisa.engine.vector)

    nl.fori_loop(0, iterations, step)
    for n in range(behind):
        step(n)
    return out


def _turns(count: int) -> Point:
    return Point({"count": count}, (
        stream(2 * count * COLUMNS, "dve_rate.copy_32_sbuf", "dve"), cycles(2 * count, "dve_time.overhead", "dve"),
        stream(2 * count * COLUMNS, "act_time.rate", "act"), cycles(2 * count, "act_time.overhead", "act"),
        ns(4 * count, "sync.semaphore"),
    ))  # fmt: skip


def _exchanges(count: int) -> Point:
    parts = tuple(ns(count, f"dma.{part}") for part in ("issue_static", "start", "complete", "to_engine"))
    share = {"dma.exchange": -1}
    moved = Term(count * 8 * 2048 * 4, {"dma.rate": -1, **share}), Term(count * 8, {"dma.descriptor": 1, **share})
    return Point({"count": count}, (*parts, *moved))


def _loop(iterations: int, behind: int) -> Point:
    steps = iterations + behind
    return Point({"iterations": iterations, "behind": behind}, (
        ns(min(iterations, 1), "sync.loop_entry"), ns(max(0, iterations - 1), "sync.loop_turn"),
        ns(behind, "sync.loop_exit"), stream(steps * COLUMNS, "dve_rate.copy_32_sbuf", "dve"),
        ns(steps, "dve_time.result"),
    ))  # fmt: skip


def _counted(name: str, kernel: Any, constant: str, how: str, more: tuple[str, ...] = (), cores: int = 1) -> Probe:
    """32 and 256 of what takes the constant, and `more` constants."""
    inputs = source if cores == 2 else number
    points = tuple(Point({"count": count}, tuple(ns(count, each) for each in (constant, *more))) for count in (16, 128))
    return Probe(name, kernel, inputs, (constant,), how, points, cores=cores)


PROBES = (
    Probe(
        "semaphores", turns_of_two_engines, source, ("sync.semaphore",),
        "the time of one more round of four instructions, less the four, over four", (_turns(16), _turns(128)),
    ),
    _counted("register loads", register_loads, "sync.register_load", "the time of one more load"),
    _counted("register moves", register_moves, "sync.register_move", "the time of one more move"),
    _counted(
        "loads at a register", loads_at_register, "dma.dynamic_address",
        "the time of one more load at a runtime address, less the issue of one at a constant address",
        more=("dma.issue_hwdge",),
    ),
    _counted("barriers", barriers, "sync.barrier", "the time of one more barrier of two cores, less a semaphore",
             more=("sync.semaphore",), cores=2),
    Probe(
        "exchanges", exchanges, source, ("dma.exchange",),
        "the time of one more exchange of two cores, over that of a transfer of as many bytes within one",
        (_exchanges(8), _exchanges(64)), cores=2,
    ),
    Probe(
        "device loop", loop, source, ("sync.loop_entry", "sync.loop_turn", "sync.loop_exit"),
        "the entry: one iteration less none; a turn: one more iteration less its instruction; the exit: an instruction "
        "behind the loop, less the instruction",
        tuple(
            _loop(iterations, behind)
            for iterations, behind in ((0, 0), (1, 0), (2, 0), (4, 0), (8, 0), (1, 1), (8, 1))
        ),
    ),
)  # fmt: skip
