"""`python -m nkisim`: run, trace, draw and lint kernels, fit machine files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nkisim.fit_command import fit_command
from nkisim.lint import LintProblem, lint_kernel, lint_source
from nkisim.named_objects import load_named
from nkisim.run_commands import roofline, run, trace


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """nkisim, a simulator of AWS's Neuron Kernel Interface."""


@main.command()
@click.argument("targets", nargs=-1, required=True)
def lint(targets: tuple[str, ...]) -> None:
    """Find what simulates but would not trace or compile. TARGETS are files or module:kernel.

    Exit status 1 when there are problems, 2 when a target cannot be read.
    """
    problems = [problem for target in targets for problem in _lint(target)]
    for problem in problems:
        click.echo(str(problem))
    click.echo(f"{len(problems)} problem(s)")
    sys.exit(1 if problems else 0)


def _lint(target: str) -> list[LintProblem]:
    path = Path(target)
    if path.suffix == ".py":
        if not path.is_file():
            raise click.UsageError(f"{target}: no such file")
        try:
            return lint_source(path.read_text("utf-8"), target)
        except SyntaxError as error:
            raise click.UsageError(f"{target}: not Python: {error}") from None
    return lint_kernel(load_named(target))


for command in (run, trace, roofline, fit_command):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m nkisim")
