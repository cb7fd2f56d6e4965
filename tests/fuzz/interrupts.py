"""Commands that Ctrl-C ends at a random moment: soon, in one line, with no process left and no file half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fuzz.damages import save_checkpoint

LAYER = "--model qwen3-30b-a3b --tp 4 --tokens 64".split()
COMMANDS: dict[str, list[str]] = {
    "run": ["nkimoe.cli.main", "run", *LAYER, "--no-numerics", "--json", "out.json", "--trace", "trace.json"],
    "op": ["nkimoe.cli.main", "op", "moe_smoothquant", "-t=64", "-h=512", "-k=2", "-e=8"],
    "pack": ["nkimoe.cli.main", "pack", "checkpoint", "packed", "--weights", "fp8-row"],
    "sweep": ["nkimoe.cli.main", "sweep", *LAYER[:4], "--tokens", "64..512", "--jobs", "2", "--csv", "rows.csv", "--no-cache"],
}
LAYERS = 4
SOON = 20.0  # seconds from Ctrl-C to the end
ENDS = (0, 1, 2, 130, -signal.SIGINT)


def interrupted(rng: np.random.Generator, folder: Path) -> str:
    """SIGINT to a command's process group."""
    name = str(rng.choice(sorted(COMMANDS)))
    save_checkpoint(folder / "checkpoint", LAYERS, experts=64)
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": folder, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-m", *COMMANDS[name]], text=True, **given) as process:
        time.sleep(rng.uniform(0.3, 4))
        try:
            os.killpg(process.pid, signal.SIGINT)
        except ProcessLookupError:
            pass
        try:
            out, err = process.communicate(timeout=SOON)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"{name}: still there {SOON:g} s after Ctrl-C") from None
    (folder / "said.txt").write_text(f"{name}: {process.returncode}\n{out}\n{err}", "utf-8")
    assert process.returncode in ENDS, f"{name}: exit status {process.returncode}"
    assert "Traceback" not in err, f"{name}: {err}"
    _assert_nobody_stays(process.pid)
    _assert_whole(folder)
    return "right" if process.returncode == 0 else "interrupted"


def _assert_nobody_stays(group: int) -> None:
    """A process that was told to end takes a moment."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("a process is left")


def _assert_whole(folder: Path) -> None:
    """Files that there are can be read; a packed folder has all of its layers."""
    for path in folder.glob("*.json"):
        json.loads(path.read_text("utf-8"))
    if (folder / "packed").exists():
        assert len(list((folder / "packed").glob("layer-*.safetensors"))) == LAYERS, "a packed folder without all layers"
