"""Commands that Ctrl-C ends at a random moment: soon, in one line, with no process left and no file half written."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fuzz.damages import save_checkpoint

LAYER = ["--model", "qwen3-30b-a3b", "--tp", "4", "--tokens", "64"]
COMMANDS: dict[str, list[str]] = {
    "run": ["run", *LAYER, "--no-numerics", "--json", "out.json", "--trace", "trace.json"],
    "op": ["op", "moe_smoothquant", "-t=64", "-h=512", "-k=2", "-e=8"],
    "pack": ["pack", "checkpoint", "packed", "--weights", "fp8-row"],
    "sweep": ["sweep", *LAYER[:4], "--tokens", "64..512", "--jobs", "2", "--csv", "rows.csv", "--no-cache"],
}
LAYERS = 4
# What Ctrl-C does while Python still imports modules is Python's own. A fuzz in the background of a shell hands on that
# it is ignored.
START = """
import signal, sys
from nkimoe.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
print("started", flush=True)
main(sys.argv[1:])
"""
SOON = 20.0  # seconds from Ctrl-C to the end
ENDS = (0, 1, 2, 130, -signal.SIGINT)


def interrupted(rng: np.random.Generator, folder: Path) -> str:
    """SIGINT to a command's process group."""
    name = str(rng.choice(sorted(COMMANDS)))
    save_checkpoint(folder / "checkpoint", LAYERS, experts=64)
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": folder, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", START, *COMMANDS[name]], text=True, **given) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(rng.uniform(0, 3))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
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
        assert len(list((folder / "packed").glob("layer-*.safetensors"))) == LAYERS, (
            "a packed folder without all layers"
        )
