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
    text: bytearray = field(default_factory=bytearray)


def run_all(
    cases: Iterable[tuple[str, Callable[[], dict[str, Any]]]], *, seconds: int, memory_gib: float, parallel: int
) -> Iterator[dict[str, Any]]:
    """Run each case in a child, `parallel` at a time, and yield its result as it ends.

    Args:
        seconds: of processor time a case gets, so that a busy machine changes nothing; ten times that by the clock.
    """
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
        _be_the_child(case, writer, seconds, memory_gib)
    os.close(writer)
    return _Child(name, pid, reader, time.monotonic() + 10 * seconds)


def _be_the_child(case: Callable[[], dict[str, Any]], writer: int, seconds: int, memory_gib: float) -> None:
    status = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        size = int(memory_gib * GIB)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
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
    late = open_ended and time.monotonic() >= child.deadline
    if open_ended and not late:
        return None
    if late:
        os.kill(child.pid, signal.SIGKILL)
    os.close(child.pipe)
    _, how, used = os.wait4(child.pid, 0)
    late = late or (os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGXCPU)
    seconds = round(used.ru_utime + used.ru_stime, 1)
    return {"name": child.name, "seconds": seconds} | (_TIMEOUT if late else _said(child))


_TIMEOUT = {"status": "timeout", "code": "", "message": ""}


def _said(child: _Child) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(bytes(child.text))
    except ValueError:
        return {"status": "error", "code": "Died", "message": "the process ended"}
    return said
