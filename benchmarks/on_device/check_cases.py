"""Step 2: run the cases once and compare. In an environment with nkimoe; --python is that of nrtpy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ml_dtypes
import numpy as np

from on_device.case import Array, Case
from on_device.commands import Command
from on_device.fields import FieldError, field, read_json
from on_device.place import Place
from on_device.step import Options, Step, command_of

RUNNER = Path(__file__).with_name("run_on_device.py")


def commands(case: Case, place: Place, options: Options) -> list[Command]:
    """One run with the inputs it was compiled for."""
    words = (options.python, str(RUNNER), "run", str(place.neff), "--inputs", str(place.inputs))
    return [Command((*words, "--out", str(_outputs(place))), case.environment)]


def result(case: Case, place: Place) -> dict[str, Any]:
    """How far the first output is from what it should be; of a probe, that it is there."""
    output = read_output(_outputs(place), 0)
    if case.judge is None:
        return {"shape": list(output.shape)}
    judged = case.judge(output)
    if not judged.passed:
        raise FieldError(f"wrong: relative distance {judged.rel_l2:.2e}, allowed {judged.allowed:.2e}")
    return {"shape": list(output.shape), "rel_l2": judged.rel_l2, "allowed": judged.allowed}


def read_output(folder: Path, n: int) -> Array:
    """An output that `run_on_device.py` kept. Types that NumPy lacks come as raw bytes of their width: bfloat16."""
    place = folder / f"{n}.json"
    document = read_json(place)
    shape, name = field(document, "shape", str(place)), str(field(document, "dtype", str(place)))
    is_raw = name in ("uint16", "|V2", "void16", "bfloat16")
    dtype = np.dtype(ml_dtypes.bfloat16) if is_raw else np.dtype(name)
    return np.fromfile(folder / f"{n}.bin", dtype=dtype).reshape(shape)


def _outputs(place: Place) -> Path:
    return place.folder / "outputs"


STEP = Step("check", "compile", commands, lambda place: [_outputs(place) / "0.json"], result)
main = command_of(STEP, "Run what was compiled on a device and compare it with the definition in NumPy.")

if __name__ == "__main__":
    main()
