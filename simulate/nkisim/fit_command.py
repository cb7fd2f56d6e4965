# SPDX-License-Identifier: Apache-2.0
"""`python -m nkisim fit`: a machine file from what probes measured on a device."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nkisim.fitting import Fitted, FittedConstant, MeasurementError, fit, read_measured
from nkisim.fitting.fit import worst
from nkisim.machine import load_machine, machine_text
from nkisim.report.files import check_writable, write_whole

_FILE = click.Path(dir_okay=False, path_type=Path)
_WORST = 5


@click.command("fit")
@click.argument("measured", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=_FILE, required=True, help="The machine file to write, as my-trn2.toml.")
def fit_command(measured: Path, output: Path) -> None:
    """Fit the constants of the time model to MEASURED, results of probes on a device, and write a machine file.

    Every command that predicts takes it by --machine. Exit status 2 when MEASURED cannot be used.
    """
    try:
        check_writable(output)
        measurements = read_measured(measured)
        found = fit(measurements, load_machine(measurements.target))
        heading = f"{measurements.target}, fitted by nkisim to latencies measured on {measurements.device}"
        write_whole(output, machine_text(found.machine, heading))
    except (MeasurementError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    click.echo(_table(found))
    click.echo(f"wrote {output}")


def _table(found: Fitted) -> str:
    lines = [f"{'before':>10} {'fitted':>10}  {'between':>21}  constant"]
    lines += [_row(each) for each in found.constants]
    lines += ["", "measured over fitted, where they differ most:"]
    lines += [f"{100 * share:+9.2f}%  {probe}: {point}" for (probe, point), share in worst(found.misfit, _WORST)]
    return "\n".join(lines)


def _row(constant: FittedConstant) -> str:
    if not constant.is_settled:
        return f"{constant.before:10.4g} {'-':>10}  {'not settled':>21}  {constant.name}"
    between = f"{constant.low:.4g} to {constant.high:.4g}"
    return f"{constant.before:10.4g} {constant.value:10.4g}  {between:>21}  {constant.name}"
