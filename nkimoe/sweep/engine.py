# SPDX-License-Identifier: Apache-2.0
"""Where independent calls run: processes of this machine, by joblib, or the workers of a Dask cluster."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from typing import Any, Protocol, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

from nkimoe.errors import RequestError

Item = TypeVar("Item")
Result = TypeVar("Result")

AGAIN = 3  # times that calls are made again whose worker was lost
PATIENCE_S = 30  # for a scheduler, and for its first worker


class Engine(Protocol):
    """Where calls run."""

    def found(self, function: Callable[[Item], Result], items: Mapping[int, Item]) -> Iterator[tuple[int, Result]]:
        """(number of the item, result of the function) in the order in which they are found."""

    @property
    def lost(self) -> tuple[type[BaseException], ...]:
        """What is raised when a worker is lost for good."""


@dataclass(frozen=True)
class Processes:
    """Processes of this machine.

    Attributes:
        count: of them; 1: this process itself; -1: one a processor.
    """

    count: int = -1

    def found(self, function: Callable[[Item], Result], items: Mapping[int, Item]) -> Iterator[tuple[int, Result]]:
        """(number of the item, result of the function) in the order in which they are found."""
        calls = [delayed(_numbered)(function, number, item) for number, item in items.items()]
        with parallel_config(backend="loky", n_jobs=self.count, inner_max_num_threads=1):
            with _interrupts_held_back():
                found: Iterator[Any] = Parallel(return_as="generator_unordered", batch_size=1)(calls)
            yield from found

    @property
    def lost(self) -> tuple[type[BaseException], ...]:
        return (BrokenProcessPool,)


@dataclass(frozen=True)
class DaskCluster:
    """Workers of a cluster, each of which can import nkimoe.

    Attributes:
        scheduler: its address, such as tcp://host:8786.
    """

    scheduler: str

    def found(self, function: Callable[[Item], Result], items: Mapping[int, Item]) -> Iterator[tuple[int, Result]]:
        """(number of the item, result of the function) in the order in which they are found. Not by joblib, which makes
        all calls in this process while the cluster has one worker, such as when another has just been lost.

        Raises:
            RequestError: dask.distributed is not installed, or no scheduler answers, or it has no worker.
        """
        distributed = _distributed()
        with ExitStack() as stack:
            try:
                client = stack.enter_context(distributed.Client(self.scheduler, timeout=PATIENCE_S))
                client.wait_for_workers(1, timeout=PATIENCE_S)
            except (OSError, ValueError, distributed.TimeoutError) as error:
                actual, fix = f"{self.scheduler}: {error}", "Start one: dask scheduler; and for it: dask worker."
                raise RequestError("scheduler", "answers, and has a worker", actual, fix) from error
            calls = client.map(partial(_numbered, function), list(items), list(items.values()), pure=False)
            for call in distributed.as_completed(calls):
                yield call.result()
                call.release()

    @property
    def lost(self) -> tuple[type[BaseException], ...]:
        distributed = _distributed()
        return (distributed.KilledWorker, distributed.comm.CommClosedError, CancelledError)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise RequestError("engine", "needs dask.distributed", error, "Install nkimoe[cluster].") from error
    return distributed


def results(engine: Engine, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
    """(number of the item, result of the function) in the order in which they are found.

    What a lost worker had begun is begun again elsewhere. The function can be pickled, and raises nothing.

    Raises:
        RuntimeError: workers are lost again and again.
    """
    waiting = dict(enumerate(items))
    for _ in range(1 + AGAIN):
        if not waiting:
            return
        try:
            for number, result in engine.found(function, dict(waiting)):
                del waiting[number]
                yield number, result
        except engine.lost:
            continue
    if waiting:
        raise RuntimeError(f"workers were lost {1 + AGAIN} times; {len(waiting)} results are missing")


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits. Processes started meanwhile never see it: it goes to all of a terminal, and theirs, which may still
    be importing, would end in tracebacks. Joblib ends them when this process stops."""
    resource_tracker.ensure_running()  # which lets Ctrl-C through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _numbered(function: Callable[[Item], Result], number: int, item: Item) -> tuple[int, Result]:
    return number, function(item)
