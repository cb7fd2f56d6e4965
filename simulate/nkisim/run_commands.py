# SPDX-License-Identifier: Apache-2.0
"""`nkisim run|trace|roofline`: simulate a kernel and say how long it takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from nkisim.command_help import Amount, OneOf, SectionedCommand, examples, section
from nkisim.command_inputs import DEFAULT_DTYPE, arguments, require_all
from nkisim.errors import NkiValidationError, retold
from nkisim.execution.kernel import Kernel
from nkisim.machine import UsefulWork, load_machine
from nkisim.machine_options import machine_options
from nkisim.named_objects import load_named
from nkisim.reference_check import Call
from nkisim.report.files import check_writable, write_whole
from nkisim.report.origin import made_by
from nkisim.report.page import Subject, check_page
from nkisim.report.pictures import PictureError, check_picture
from nkisim.report.text import describe_changes, describe_sensitivity
from nkisim.run_debugging import check_debugging, debugging_options, expected_outputs, tell_check, tell_taps
from nkisim.simulator import Run, Simulator
from nkisim.watching import run_on_change
from nkisim.what_if import parse_factors, predict_changes

SCHEMA_VERSION = 1
_FILE = click.Path(dir_okay=False, path_type=Path)
Command = Callable[..., Any]


_ARGUMENTS, _MACHINE, _RESULTS = section("Arguments of the kernel"), section("Simulation"), section("Results")


def call_options(command: Command) -> Command:
    """The arguments of a kernel, and its target."""
    for option in reversed((
        _ARGUMENTS("--input", "inputs", multiple=True, metavar="NAME=SPEC",
                   help="A tensor: SHAPE[:DTYPE[:FILL]], as x=128x512:bfloat16, ids=64x1:int32:0..127; or FILE.npy."
                   " FILL: normal, edges (normal, but a first row of zeros, a second of tiny, a third of large values),"
                   f" zeros, ones, arange, LOW..HIGH.  [default: {DEFAULT_DTYPE}; normal, of integers zeros]"),
        _ARGUMENTS("--arg", "values", multiple=True, metavar="NAME=VALUE", help="Any other argument."),
        _ARGUMENTS("--inputs", "factory", metavar="MODULE:FUNCTION", help="Call this for the arguments."),
        _ARGUMENTS("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of random tensors."),
        machine_options(default=None),
        _MACHINE("--lnc", type=OneOf(["1", "2"]), help="NeuronCores; by default the kernel's own grid."),
        _MACHINE("--no-numerics", is_flag=True, help="Compute shapes and integers only: for large layers."),
    )):  # fmt: skip
        command = option(command)
    return command


def kernel_options(command: Command) -> Command:
    """The kernel, its arguments and its target, and what becomes of findings."""
    for option in (
        _MACHINE("--report-only", is_flag=True, help="List what detectors find instead of stopping."),
        call_options,
        click.argument("kernel"),
    ):
        command = option(command)
    return command


@click.command(cls=SectionedCommand, epilog=examples(
    "nkisim run scale.py:scale_rows --input x=100x64:float32 --input factors=100x1:float32",
    "nkisim run package.kernels:matmul --inputs package.shapes:large --no-numerics --json out.json",
    "nkisim run scale.py:scale_rows --inputs scale.py:arguments --what-if hbm=1.2,pe_clock=1.1 --timeline t.png",
    "nkisim run scale.py:scale_rows --inputs scale.py:arguments --check scale.py:reference --tap rows --watch",
))  # fmt: skip
@kernel_options
@_RESULTS("--json", "json_file", type=_FILE, help="Write the prediction for scripts.")
@_RESULTS("--trace", type=_FILE, help="Write a trace for ui.perfetto.dev.")
@_RESULTS("--timeline", type=_FILE, help="Draw what each engine does when (png, svg, pdf).")
@_RESULTS("--roofline", type=_FILE, help="Draw the roofline (png, svg, pdf).")
@_RESULTS("--what-if", metavar="NAME=FACTOR,...", help="Predict again with constants multiplied: hbm=1.2.")
@_RESULTS("--sensitivity", is_flag=True, help="List the constants by their leverage on this kernel.")
@debugging_options
def run(json_file: Path | None, trace: Path | None, timeline: Path | None, roofline: Path | None,
        what_if: str | None, sensitivity: bool, **options: Any) -> None:  # fmt: skip
    """Simulate KERNEL (module:name or file.py:name) and print the predicted latency and what bounds it."""
    if options["watch"]:
        run_on_change(options["kernel"], sys.argv[1:])
        return
    machine = load_machine(options["target"])
    factors = parse_factors(what_if, machine) if what_if else {}
    _check([json_file, trace], [timeline, roofline])
    check_debugging(options)
    kernel = load_named(options["kernel"])
    call = call_of(kernel, options)
    expected = expected_outputs(function_of(kernel), call, options)
    done = _simulate(kernel, call, options, tap=options["taps"])
    profile = done.profile
    tell_taps(done, options)
    click.echo(done.report())
    changes = predict_changes(profile, factors)
    if changes:
        click.echo("\n" + describe_changes(profile.latency_us, changes))
    if sensitivity:
        click.echo("\n" + describe_sensitivity(profile))
    if json_file is not None:
        _write_json(json_file, options, done, changes)
    for path, write in (
        (trace, profile.save_perfetto), (timeline, profile.save_timeline), (roofline, profile.save_roofline),
    ):  # fmt: skip
        if path is not None:
            _write(path, write)
    tell_check(done, expected, options)


@click.command(cls=SectionedCommand, epilog=examples("nkisim trace scale.py:scale_rows --inputs scale.py:arguments"))
@kernel_options
@_RESULTS("-o", "--output", type=_FILE, help="By default KERNEL.trace.json.")
def trace(output: Path | None, **options: Any) -> None:
    """Simulate KERNEL and write its predicted timeline for ui.perfetto.dev."""
    path = output or _beside(options, "trace.json")
    _check([path], [])
    _write(path, _simulated(options).profile.save_perfetto)


@click.command(cls=SectionedCommand, epilog=examples(
    "nkisim roofline scale.py:scale_rows --inputs scale.py:arguments --flops 6400 --bytes 51600",
))  # fmt: skip
@kernel_options
@_RESULTS("-o", "--output", type=_FILE, help="By default KERNEL.roofline.png.")
@_RESULTS("--flops", type=Amount(0, min_open=True), help="Useful floating point operations; with --bytes.")
@_RESULTS("--bytes", "nbytes", type=Amount(0, min_open=True), help="Bytes that must move.")
def roofline(output: Path | None, flops: float | None, nbytes: float | None, **options: Any) -> None:
    """Simulate KERNEL and draw where it lies under the roofline: what it executed, and what of that was useful."""
    if (flops is None) != (nbytes is None):
        raise click.UsageError("--flops and --bytes go together")
    useful = UsefulWork(flops, nbytes) if flops is not None and nbytes is not None else None
    path = output or _beside(options, "roofline.png")
    _check([], [path])
    profile = _simulated(options).profile
    _write(path, lambda target: profile.save_roofline(target, useful))


@click.command(cls=SectionedCommand, epilog=examples(
    "nkisim report scale.py:scale_rows --inputs scale.py:arguments",
    "nkisim report package.kernels:matmul --inputs package.shapes:large --no-numerics -o matmul.html",
))  # fmt: skip
@kernel_options
@_RESULTS("-o", "--output", type=_FILE, help="By default KERNEL.html.")
def report(output: Path | None, **options: Any) -> None:
    """Simulate KERNEL and write a page: its source with what each line costs, timeline, memory, roofline, advice."""
    path = output or _beside(options, "html")
    _check([path], [])
    try:
        check_page()
    except PictureError as error:
        raise click.UsageError(str(error)) from None
    done = _simulated(options)
    _write(path, lambda target: done.save_page(target, Subject(options["kernel"])))


def _simulated(options: dict[str, Any]) -> Run:
    """Run the kernel the options describe; its errors end the command with status 1."""
    kernel = load_named(options["kernel"])
    return _simulate(kernel, call_of(kernel, options), options)


def _simulate(kernel: Any, call: Call, options: dict[str, Any], tap: Sequence[str] = ()) -> Run:
    """Run the kernel; its errors end the command with status 1."""
    try:
        return simulate(kernel, call, options, options["report_only"], tap)
    except NkiValidationError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def call_of(kernel: Any, options: dict[str, Any]) -> Call:
    """The arguments that the options describe, all that the kernel needs."""
    call = arguments(options["inputs"], options["values"], options["factory"], options["seed"])
    require_all(function_of(kernel), *call)
    return call


def function_of(kernel: Any) -> Callable[..., Any]:
    """The Python function of a kernel, decorated or not."""
    function: Callable[..., Any] = kernel.function if isinstance(kernel, Kernel) else kernel
    return function


def simulate(kernel: Any, call: Call, options: dict[str, Any], report_only: bool, tap: Sequence[str] = ()) -> Run:
    """Run a kernel on the target that the options describe.

    Raises:
        NkiValidationError: as `Simulator.run`. click.UsageError: the kernel raises an error of its own.
    """
    lnc = int(options["lnc"]) if options["lnc"] else None
    numerics = not options["no_numerics"]
    simulator = Simulator(options["target"], lnc, report_only=report_only, numerics=numerics, tap=list(tap))
    try:
        return simulator.run(kernel, *call[0], **call[1])
    except NkiValidationError:
        raise
    except (Exception, SystemExit) as error:
        raise click.UsageError(f"the kernel raises {retold(error)}") from None


def _check(files: list[Path | None], pictures: list[Path | None]) -> None:
    """Refuse files that could not be written, before the work starts."""
    try:
        for path in filter(None, [*files, *pictures]):
            check_writable(path)
        for path in filter(None, pictures):
            check_picture(path)
    except (OSError, PictureError) as error:
        raise click.UsageError(str(error)) from None


def _beside(options: dict[str, Any], suffix: str) -> Path:
    return Path(f"{options['kernel'].rpartition(':')[2]}.{suffix}")


def _write(path: Path, write: Callable[[Path], None]) -> None:
    write(path)
    click.echo(f"wrote {path}")


def _write_json(path: Path, options: dict[str, Any], done: Run, changes: dict[str, float]) -> None:
    timeline = done.profile.prediction.timeline
    document = {
        "schema_version": SCHEMA_VERSION,
        "made_by": made_by(options["seed"]),
        "kernel": options["kernel"],
        "target": timeline.machine.name,
        "lnc": timeline.cores,
        "predicted": done.profile.to_json(),
        "what_if_us": changes,
        "findings": [str(finding) for finding in done.findings],
        "wall_s": done.wall_s,
    }

    def write(target: Path) -> None:
        write_whole(target, json.dumps(document, indent=2) + "\n")

    _write(path, write)
