"""`python -m legacy CHECKOUTS`: other people's kernels of NKI 0.1, as JSON and as docs/simulator/legacy.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from legacy.files import kernel_files
from legacy.page import page

ROOT = Path(__file__).resolve().parents[2]


def examine(file: Path, seconds: int) -> dict[str, Any]:
    """What became of a file, which has a process of its own."""
    path = os.pathsep.join(str(place) for place in (ROOT / "tests", ROOT, ROOT / "simulate"))
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    environment.setdefault("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    command = [sys.executable, "-m", "legacy.worker", str(file), str(seconds)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    stopped = f"out of {seconds} s, or ended"
    if not lines:
        return {"file": str(file), "imports": False, "why": stopped, "kernels": {}}
    found: dict[str, Any] = json.loads(lines[-1])
    if done.returncode:
        found["kernels"][f"{file}:the next one"] = ("refused", stopped)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m legacy", description=__doc__)
    parser.add_argument("checkouts", type=Path, help="a folder with a folder for each repository")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only checkouts with this in their name")
    parser.add_argument("--seconds", type=int, default=90, help="time for a file (90)")
    parser.add_argument("--json", type=Path, default=Path("build/legacy.jsonl"), help="results, taken up if they exist")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "simulator" / "legacy.md", help="where it goes")
    given = parser.parse_intermixed_args()
    given.json.parent.mkdir(parents=True, exist_ok=True)
    known = given.json.read_text("utf-8").splitlines() if given.json.exists() else []
    done = {json.loads(line)["file"] for line in known}
    for file in kernel_files(given.checkouts.resolve()):
        name = file.relative_to(given.checkouts.resolve()).parts[0]
        if str(file) not in done and (not given.names or any(part in name for part in given.names)):
            with given.json.open("a", encoding="utf-8") as record:
                record.write(json.dumps(examine(file, given.seconds)) + "\n")
    rows = [json.loads(line) for line in given.json.read_text("utf-8").splitlines()]
    given.page.write_text(page(rows, given.checkouts.resolve()), "utf-8")


if __name__ == "__main__":
    main()
