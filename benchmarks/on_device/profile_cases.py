"""Step 4: profile the cases. In an environment with nkimoe[device]; --python is that of nrtpy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataclasses import asdict

from on_device.case import Case
from on_device.commands import Command
from on_device.explorer_summary import read_summary
from on_device.explorer_tables import profile_folder, read_instructions, read_notes
from on_device.fields import read_json
from on_device.instruction_table import ProfiledInstruction, by_line, by_opcode
from on_device.place import Place
from on_device.step import Options, Step, command_of

RUNNER = Path(__file__).with_name("run_on_device.py")


def commands(case: Case, place: Place, options: Options) -> list[Command]:
    """A trace of a run with the real inputs, then what the explorer makes of it.

    `neuron-explorer capture` would replay made-up inputs: indices that are no rows, loops of any length.
    """
    neff, trace = str(place.neff_with_lines), str(place.folder / "profile.ntff")
    traced = (options.python, str(RUNNER), "trace", neff, "--inputs", str(place.inputs), "--out", trace)
    view = (options.explorer, "view", "-n", neff, "-s", trace)
    ingest = ("--ingest-only", "--data-path", str(place.folder / "data"), "--display-name", case.name)
    return [
        Command(traced, case.environment),
        Command((*view, "--output-format", "summary-json"), output=_summary(place)),
        Command((*view, *ingest)),
    ]


def instructions(place: Place) -> list[ProfiledInstruction]:
    """Of a case that has been profiled."""
    return read_instructions(profile_folder(place.folder / "data", place.folder.name))


def result(case: Case, place: Place) -> dict[str, Any]:
    """The run as a whole, by opcode and by line; the tables are beside it."""
    found = instructions(place)
    return {
        "summary": asdict(read_summary(read_json(_summary(place)), str(_summary(place)))),
        "notes": read_notes(profile_folder(place.folder / "data", place.folder.name)),
        "opcodes": [asdict(each) for each in by_opcode(found)],
        "lines": [asdict(each) for each in by_line(found)],
    }


def _summary(place: Place) -> Path:
    return place.folder / "summary.json"


STEP = Step("profile", "compile", commands, lambda place: [place.folder / "profile.ntff", _summary(place)], result)
main = command_of(STEP, "Profile what was compiled, on a device.")

if __name__ == "__main__":
    main()
