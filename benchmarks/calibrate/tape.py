"""One launch as an observer sees it, kept: played back, it gives any clock the program without a simulation."""

from __future__ import annotations

from typing import Any

from nkisim import Simulator
from nkisim.observe import Event, Finding, LoopMark, Observer


class Tape(Observer):
    """Everything observers are told, in order. Holds no tensor data, so that it stays small."""

    def __init__(self) -> None:
        self._told: list[Event | tuple[int, LoopMark, int]] = []

    def on_instruction(self, event: Event) -> list[Finding]:
        self._told.append(event)
        return []

    def on_loop(self, core: int, mark: LoopMark, since: int) -> None:
        self._told.append((core, mark, since))

    def __len__(self) -> int:
        return len(self._told)

    def play(self, observer: Observer) -> None:
        """Tell `observer` all of it."""
        for told in self._told:
            if isinstance(told, tuple):
                observer.on_loop(*told)
            else:
                observer.on_instruction(told)
        observer.on_finish()


def launch(observer: Observer, kernel: Any, *args: Any, target: str = "trn2", lnc: int = 1, **options: Any) -> None:
    """One launch of `kernel` under `observer`, shapes only."""
    simulator = Simulator(target, lnc, report_only=True, observers=[observer], numerics=False, timing=False)
    simulator.run(kernel, *args, **options)
