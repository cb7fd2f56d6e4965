# SPDX-License-Identifier: Apache-2.0
"""`nkisim lint`: what simulates but would not trace or compile, in the source and in a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nkisim.command_help import OneOf, SectionedCommand, examples
from nkisim.errors import SimulationError, shown
from nkisim.lint import VERSIONS, LintProblem, Version, lint_kernel, lint_source
from nkisim.named_objects import load_named
from nkisim.observe import Policy
from nkisim.run_commands import call_of, call_options, simulate


@click.command(cls=SectionedCommand, epilog=examples(
    "nkisim lint kernels/*.py", "nkisim lint --sdk 2.32 package.kernels:matmul",
    "nkisim lint package.kernels:matmul --inputs package.shapes:small",
))  # fmt: skip
@click.argument("targets", nargs=-1, required=True)
@click.option("--sdk", type=OneOf(list(VERSIONS)), help="Also find what this version of the Neuron SDK lacks.")
@call_options
def lint(targets: tuple[str, ...], sdk: str | None, **options: Any) -> None:
    """Find what simulates but would not trace or compile. TARGETS are files or module:kernel.

    With arguments for it (--input, --arg, --inputs) a kernel is run, too, and what detectors find are problems.

    Exit status 1 when there are problems, 2 when a target cannot be read.
    """
    version = VERSIONS[sdk] if sdk else None
    problems = [problem for target in targets for problem in _lint(target, version)]
    if options["inputs"] or options["values"] or options["factory"]:
        if len(targets) != 1 or targets[0].endswith(".py"):
            raise click.UsageError("arguments are for one target, module:kernel")
        problems += _run(targets[0], options)
    for problem in problems:
        click.echo(str(problem))
    click.echo(f"{len(problems)} problem(s)")
    sys.exit(1 if problems else 0)


def _lint(target: str, version: Version | None) -> list[LintProblem]:
    path = Path(target)
    if path.suffix == ".py":
        if not path.is_file():
            raise click.UsageError(f"{target}: no such file")
        try:
            return lint_source(path.read_text("utf-8"), target, version=version)
        except (SyntaxError, ValueError, RecursionError, OSError) as error:
            raise click.UsageError(f"{target}: not Python: {error}") from None
    kernel = load_named(target)
    if not callable(kernel):
        raise click.UsageError(f"{target}: is no kernel: {type(kernel).__name__}")
    return lint_kernel(kernel, version)


def _run(target: str, options: dict[str, Any]) -> list[LintProblem]:
    """What a run finds; notes are shown and are no problems. An error ends the run, and is the last problem."""
    kernel = load_named(target)
    call = call_of(kernel, options)
    try:
        findings = simulate(kernel, call, options, report_only=True).findings
    except SimulationError as error:
        return [_problem(error)]
    policy = Policy.from_environment()
    for note in (finding for finding in findings if not policy.stops(finding)):
        click.echo(f"note: {_problem(note.error)}")
    return [_problem(finding.error) for finding in findings if policy.stops(finding)]


def _problem(error: SimulationError) -> LintProblem:
    file, line = error.where
    return LintProblem(shown(file), line, error.code, f"{error.rule}; got {error.actual}. {error.fix}")
