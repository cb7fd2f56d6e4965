"""Where the results of a case are: one folder a case, one JSON file a step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from on_device.fields import read_json, write_json

SCHEMA_VERSION = 1
DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Place:
    """The folder of a case.

    Attributes:
        folder: results/TARGET/CASE.
    """

    folder: Path

    @property
    def inputs(self) -> Path:
        """Arrays 0.npy, 1.npy, ..., and their names."""
        return self.folder / "inputs"

    @property
    def neff(self) -> Path:
        """What the compiler made."""
        return self.folder / "kernel.neff"

    @property
    def neff_with_lines(self) -> Path:
        """The same with the lines of the source: slower, for profiles."""
        return self.folder / "with_lines" / "kernel.neff"

    def status(self, step: str) -> str | None:
        """DONE, FAILED, or None if the step has not been run."""
        path = self.folder / f"{step}.json"
        return str(read_json(path)["status"]) if path.exists() else None

    def result(self, step: str) -> dict[str, Any]:
        """What a step that is done found."""
        found: dict[str, Any] = read_json(self.folder / f"{step}.json")["result"]
        return found

    def keep(self, step: str, status: str, said: list[dict[str, Any]], result: dict[str, Any]) -> None:
        """The end of a step: its commands with what they said, and what it found."""
        document = {"schema_version": SCHEMA_VERSION, "case": self.folder.name, "step": step, "status": status}
        write_json(self.folder / f"{step}.json", {**document, "result": result, "commands": said})
