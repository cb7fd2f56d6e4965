"""Commands of the toolchain: printed exactly, run, and what they said kept verbatim."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        words: program and arguments.
        environment: variables it is given, beside those of the shell.
        output: a file that takes what it prints.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None

    def __str__(self) -> str:
        """As a shell takes it."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        line = " ".join([*(["env", *variables] if variables else []), shlex.join(self.words)])
        return line if self.output is None else f"{line} > {shlex.quote(str(self.output))}"

    def run(self) -> Outcome:
        """Run it to its end; that it fails or is not there is an outcome like others."""
        started = time.perf_counter()
        try:
            done = subprocess.run(
                self.words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
            )
            status, out, said = done.returncode, done.stdout, done.stderr
        except OSError as error:
            status, out, said = 127, "", str(error)
        if self.output is not None:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self.output.write_text(out, "utf-8")
            out = f"in {self.output.name}"
        return Outcome(str(self), status, round(time.perf_counter() - started, 3), out, said)


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes:
        status: of its exit.
        out, err: what it said, verbatim.
    """

    command: str
    status: int
    seconds: float
    out: str
    err: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
