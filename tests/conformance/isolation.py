"""Cases run in forked children: a crash, a hang or a hunger for memory ends one case and no other."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

GIB = 1 << 30


@dataclass
class _Child:
    name: str
    pid: int
    pipe: int
    deadline: float
    started: float
    text: bytearray = field(default_factory=bytearray)


def run_all(
    cases: Iterable[tuple[str, Callable[[], dict[str, Any]]]], *, seconds: int, memory_gib: float, parallel: int
) -> Iterator[dict[str, Any]]:
    """Run each case in a child, `parallel` at a time, and yield its result as it ends."""
    waiting, running = list(cases)[::-1], list[_Child]()
    while waiting or running:
        while waiting and len(running) < parallel:
            running.append(_start(*waiting.pop(), seconds, memory_gib))
        for child in list(running):
            result = _finished(child)
            if result is not None:
                running.remove(child)
                yield result
        time.sleep(0.02)


def _start(name: str, case: Callable[[], dict[str, Any]], seconds: int, memory_gib: float) -> _Child:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _be_the_child(case, writer, memory_gib)
    os.close(writer)
    now = time.monotonic()
    return _Child(name, pid, reader, now + seconds, now)


def _be_the_child(case: Callable[[], dict[str, Any]], writer: int, memory_gib: float) -> None:
    status = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        size = int(memory_gib * GIB)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
        result = _result_of(case)
        with os.fdopen(writer, "w") as pipe:
            json.dump(result, pipe, default=str)
        status = 0
    finally:
        os._exit(status)


def _result_of(case: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return case()
    except BaseException as error:
        return {"status": "error", "code": type(error).__name__, "message": str(error)}


def _finished(child: _Child) -> dict[str, Any] | None:
    open_ended = True
    while open_ended:
        try:
            part = os.read(child.pipe, 1 << 16)
        except BlockingIOError:
            break
        child.text += part
        open_ended = bool(part)
    if not open_ended:
        os.close(child.pipe)
        os.waitpid(child.pid, 0)
        return _result(child)
    if time.monotonic() < child.deadline:
        return None
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    os.close(child.pipe)
    seconds = round(time.monotonic() - child.started, 1)
    return {"name": child.name, "status": "timeout", "code": "", "message": "", "seconds": seconds}


def _result(child: _Child) -> dict[str, Any]:
    seconds = round(time.monotonic() - child.started, 1)
    try:
        return {"name": child.name, "seconds": seconds} | json.loads(bytes(child.text))
    except ValueError:
        died = {"status": "error", "code": "Died", "message": "the process ended"}
        return {"name": child.name, "seconds": seconds} | died
