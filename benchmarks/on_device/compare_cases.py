"""Step 5: predictions beside measurements, and what the probes say. Anywhere: it needs no device."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

from nkimoe.cli.op.inputs import SEED
from nkisim.machine import load_machine
from nkisim.machine_options import machine_options
from nkisim.report.origin import made_by
from on_device import instruction_table
from on_device.case import Case
from on_device.cases import cases_of
from on_device.explorer_summary import ProfileSummary
from on_device.fields import write_json
from on_device.instruction_table import InstructionSum
from on_device.place import DONE, Place
from on_device.predicted import predict
from on_device.probe_results import device_of, measured_by_probes, orders
from on_device.side_by_side import Row, by_engine, by_kind, by_line
from on_device.step import CASE_OPTIONS
from on_device.time_cases import latencies

SCHEMA_VERSION = 1
_PRINTED = 12  # rows of a table


def compared(case: Case, place: Place, target: str) -> dict[str, list[Row]]:
    """Tables of one case that has been timed; those of its profile if it has one."""
    prediction, measured = predict(case, target), latencies(place)
    tables = {"latency": [Row("latency, us", prediction.latency_us, measured.median_us)]}
    if place.status("profile") != DONE:
        return tables
    found = place.result("profile")
    opcodes, lines = ([InstructionSum(**each) for each in found[what]] for what in ("opcodes", "lines"))
    tables["engines"] = list(by_engine(prediction, ProfileSummary(**found["summary"])))
    tables["opcodes"] = list(by_kind(instruction_table.by_opcode(prediction.table), opcodes))
    tables["lines"] = list(by_line(instruction_table.by_line(prediction.table), lines))
    return tables


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@machine_options(default="trn2")
@click.option("--device", help="Instance, versions and date, for people; by default as profiles say.")
def main(
    results: Path, target: str, patterns: tuple[str, ...], nkilib: Path | None, dry_run: bool, device: str | None
) -> None:
    """Compare predictions with what a device was measured to take, and collect what its probes say.

    Writes compared.json and measured.json beside the results; `python -m nkisim fit measured.json` goes on from there.
    """
    folder = results / target
    try:
        cases = cases_of(target, patterns, nkilib)
    except (ValueError, FileNotFoundError) as error:
        raise click.UsageError(str(error)) from None
    if dry_run:
        for case in cases.values():
            click.echo(f"read {folder / case.name}/time.json and profile.json, if they are there")
    else:
        _compare({name: case for name, case in cases.items() if Place(folder / name).status("time") == DONE}, folder)
        _collect(folder, device or device_of(folder, target))
    click.echo(shlex.join(["python", "-m", "nkisim", "fit", str(folder / "measured.json"), "-o", f"my-{target}.toml"]))


def _compare(cases: dict[str, Case], folder: Path) -> None:
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "made_by": made_by(SEED), "cases": {}}
    for name, case in cases.items():
        tables = compared(case, Place(folder / name), folder.name)
        click.echo(f"\n{name}\n{'predicted':>10} {'measured':>10} {'ratio':>7}")
        for rows in tables.values():
            click.echo("\n".join(map(str, rows[:_PRINTED])))
        document["cases"][name] = {
            table: [{**asdict(row), "ratio": row.ratio} for row in rows] for table, rows in tables.items()
        }
    write_json(folder / "compared.json", document)


def _collect(folder: Path, device: str) -> None:
    document, left_out = measured_by_probes(folder, load_machine(folder.name), device)
    write_json(folder / "measured.json", document)
    click.echo("\n" + "\n".join(orders(folder)))
    click.echo("\n".join(f"not in measured.json: {reason}" for reason in left_out))


for _option in reversed(CASE_OPTIONS):
    main = _option(main)

if __name__ == "__main__":
    main()
