"""Step 3: time the cases. In an environment with nkimoe; --python is that of nrtpy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from on_device.case import Case
from on_device.commands import Command
from on_device.fields import read_json
from on_device.nrt_results import Latencies, read_latencies
from on_device.place import Place
from on_device.step import Options, Step, command_of

RUNNER = Path(__file__).with_name("run_on_device.py")


def commands(case: Case, place: Place, options: Options) -> list[Command]:
    """Ten runs, then a hundred timed by the device, without a profile: that would slow them down."""
    words = (options.python, str(RUNNER), "time", str(place.neff), "--inputs", str(place.inputs))
    return [Command((*words, "--out", str(_file(place)), "--warmup", "10", "--runs", "100"), case.environment)]


def latencies(place: Place) -> Latencies:
    """Of a case that has been timed."""
    return read_latencies(read_json(_file(place)), str(_file(place)))


def result(case: Case, place: Place) -> dict[str, Any]:
    """What scripts ask for; the runs are beside it."""
    return latencies(place).as_json()


def _file(place: Place) -> Path:
    return place.folder / "benchmark.json"


STEP = Step("time", "compile", commands, lambda place: [_file(place)], result)
main = command_of(STEP, "Time what was compiled, on a device.")

if __name__ == "__main__":
    main()
