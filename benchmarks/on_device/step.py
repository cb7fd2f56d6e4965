"""A step of the five: what it needs, which commands it runs, what it makes of their results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from on_device.case import Case
from on_device.cases import cases_of
from on_device.commands import Command
from on_device.fields import FieldError
from on_device.place import DONE, FAILED, Place

CASE_OPTIONS = (
    click.option("--results", type=click.Path(path_type=Path), default="on-device-results", show_default=True),
    click.option("--case", "patterns", multiple=True, metavar="PATTERN", help="As 'probe.*'; by default all."),
    click.option("--nkilib", type=click.Path(path_type=Path), help="A checkout of nki-library to run beside ours."),
    click.option("--dry-run", is_flag=True, help="Print the exact commands and run none."),
)
_TOOL_OPTIONS = (
    click.option("--target", type=click.Choice(["trn2", "trn3"]), default="trn2", show_default=True),
    click.option("--python", default=sys.executable, help="Interpreter that runs what needs the device's tools."),
    click.option("--explorer", default="neuron-explorer", show_default=True),
    click.option("--again", is_flag=True, help="Also cases that are done or have failed."),
    click.option("--list", "list_only", is_flag=True, help="Print the names of the cases."),
)


@dataclass(frozen=True)
class Options:
    """Of the command line.

    Attributes:
        results: folder of all results.
        python: interpreter of the environment that the step's commands need.
        explorer: the program neuron-explorer.
        nkilib: a checkout of nki-library, or None.
    """

    results: Path
    target: str
    python: str
    explorer: str
    nkilib: Path | None

    def place(self, case: Case) -> Place:
        """The folder of a case."""
        return Place(self.results / self.target / case.name)


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: of its JSON files.
        needs: the step before.
        commands: of a case.
        leaves: files of the commands that mean they have worked, removed before they are run.
        result: what is found in them; raises FieldError or OSError if they are not as they should be.
    """

    name: str
    needs: str | None
    commands: Callable[[Case, Place, Options], list[Command]]
    leaves: Callable[[Place], list[Path]]
    result: Callable[[Case, Place], dict[str, Any]]


def command_of(step: Step, explains: str) -> click.Command:
    """The script of a step."""

    def run(patterns: tuple[str, ...], dry_run: bool, again: bool, list_only: bool, **given: Any) -> None:
        options = Options(**given)
        try:
            cases = cases_of(options.target, patterns, options.nkilib)
        except (ValueError, FileNotFoundError) as error:
            raise click.UsageError(str(error)) from None
        if list_only:
            click.echo("\n".join(cases))
            return
        statuses = [(_print if dry_run else _run)(step, case, options, again) for case in cases.values()]
        counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
        click.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
        sys.exit(1 if FAILED in counts else 0)

    command: Any = run
    for option in reversed((*CASE_OPTIONS, *_TOOL_OPTIONS)):
        command = option(command)
    return click.command(help=explains, context_settings={"help_option_names": ["-h", "--help"]})(command)


def _print(step: Step, case: Case, options: Options, again: bool) -> str:
    for command in step.commands(case, options.place(case), options):
        click.echo(str(command))
    return "to run"


def _run(step: Step, case: Case, options: Options, again: bool) -> str:
    place = options.place(case)
    if step.needs is not None and place.status(step.needs) != DONE:
        return f"without {step.needs}"
    if not again and place.status(step.name) is not None:
        return "there already"
    place.folder.mkdir(parents=True, exist_ok=True)
    for path in step.leaves(place):
        path.unlink(missing_ok=True)
    said: list[dict[str, Any]] = []
    for command in step.commands(case, place, options):
        outcome = command.run()
        said.append(outcome.as_json())
        if outcome.status:
            break
    try:
        result, status = step.result(case, place), DONE
    except (FieldError, OSError) as error:
        result, status = {"error": str(error)}, FAILED
    place.keep(step.name, status, said, result)
    click.echo(f"{case.name}: {status}" + (f": {result['error']}" if status == FAILED else ""))
    return status
