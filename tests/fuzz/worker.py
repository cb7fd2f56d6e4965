"""Cases in a process of their own, which is ended where one takes too long."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from fuzz.kinds import Kind, generator

START_SECONDS = 60.0  # a process may take to import everything


class Outcome(NamedTuple):
    """What became of a case: a word, or the traceback or sentence of its failure."""

    word: str
    failure: str | None = None


class Worker:
    """One process at a time; a new one after each that hung or died."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._here, there = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=False)
        self._process.start()
        there.close()
        if not self._here.poll(START_SECONDS) or self._here.recv() != "ready":
            raise RuntimeError("the worker does not start")

    def run(self, kind: Kind, seed: int, number: int, folder: Path) -> Outcome:
        """One case in a new folder, which stays if it fails, until the same case runs again."""
        if folder.exists():  # of an earlier run of this seed, which was stopped or failed
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self._here.send((kind, seed, number, folder))
        try:
            outcome = self._here.recv() if self._here.poll(kind.seconds) else None
            outcome = outcome or self._renewed(f"took more than {kind.seconds:g} s")
        except (EOFError, ConnectionError):
            outcome = self._renewed("the process died")
        if outcome.failure is None:
            shutil.rmtree(folder)
        else:
            (folder / "failure.txt").write_text(
                f"{kind.name} --seed {seed} --case {number}\n\n{outcome.failure}", "utf-8"
            )
        return outcome

    def _renewed(self, why: str) -> Outcome:
        self.close()
        self._start()
        return Outcome("failed", why)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._here.close()


def _serve(connection: Connection) -> None:
    """Do cases until the other end is gone."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    connection.send("ready")
    while True:
        try:
            kind, seed, number, folder = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            outcome = Outcome(kind.run(generator(seed, kind.name, number), folder))
        except BaseException:
            outcome = Outcome("failed", traceback.format_exc())
        connection.send(outcome)
