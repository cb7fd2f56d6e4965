"""Step 1: compile the cases. In the environment of `nki`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from on_device.case import Case
from on_device.commands import Command
from on_device.fields import FieldError
from on_device.place import Place
from on_device.step import Options, Step, command_of

_SCRIPT = Path(__file__).with_name("compile_one.py")


def commands(case: Case, place: Place, options: Options) -> list[Command]:
    """Twice: as it is run, and with the lines of its source, which profiles show."""
    words = [options.python, str(_SCRIPT), case.name, "--target", options.target, "--inputs", str(place.inputs)]
    if options.nkilib is not None:
        words += ["--nkilib", str(options.nkilib)]
    environment = {
        **case.environment,
        "NKIMOE_TOOLCHAIN": "neuron",
        "NKI_COMPILER_FRONTEND": "tracer",  # NKI 0.6 asks for it; later ones have no other, or this one by default
        "NEURON_PLATFORM_TARGET_OVERRIDE": options.target,
    }
    with_lines = {**environment, "NKI_DEBUG_INFO": "True", "NKI_ARTIFACTS_DIR": str(place.neff_with_lines.parent)}
    return [
        Command(tuple(words), {**environment, "NKI_ARTIFACTS_DIR": str(place.neff.parent)}),
        Command(tuple(words), with_lines),
    ]


def result(case: Case, place: Place) -> dict[str, Any]:
    """What the compiler left."""
    if not place.neff.exists():
        raise FieldError(f"the compiler left no {place.neff.name}; what it said is beside this")
    return {"neff_bytes": place.neff.stat().st_size, "has_lines": place.neff_with_lines.exists()}


STEP = Step("compile", None, commands, lambda place: [place.neff, place.neff_with_lines], result)
main = command_of(STEP, "Compile kernels and probes for a Trainium; what the compiler says is kept verbatim.")

if __name__ == "__main__":
    main()
