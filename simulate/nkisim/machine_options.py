# SPDX-License-Identifier: Apache-2.0
"""--target and --machine, as every command that predicts has them: for which machine, and with whose constants."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nkisim.command_help import OneOf, section
from nkisim.machine import (
    DEFAULT_TARGET,
    TARGET_VARIABLE,
    TARGETS,
    Machine,
    load_machine,
    machine_in_use,
    read_machine,
    target_from_environment,
)

Command = Callable[..., Any]
_OPTION = section("Simulation")


class MachineFile(click.Path):
    """A machine file, read."""

    name = "machine file"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        try:
            return read_machine(Path(str(path)))
        except (ValueError, OSError) as error:
            self.fail(str(error), param, ctx)


MACHINE_OPTION: dict[str, Any] = {
    "type": MachineFile(),
    "metavar": "FILE",
    "is_eager": True,  # --target is checked against it
    "help": "Predict with the constants of this machine file, as `python -m nkisim fit` writes them.",
}
"""Of `click.option("--machine")`; its command is `using_machine`."""


def target_option(default: str | None) -> dict[str, Any]:
    """Of `click.option("--target")`.

    Args:
        default: where no machine file is given; None: of `target_from_environment`.
    """

    def checked(context: click.Context, _: click.Parameter, asked: str | None) -> str:
        machine: Machine | None = context.params.get("machine")
        if machine is None:
            return load_machine(asked or default or target_from_environment()).name
        if asked not in (None, machine.name):
            raise click.UsageError(f"--target {asked}: the machine file in use describes {machine.name}")
        return machine.name

    otherwise = default or f"{TARGET_VARIABLE}, or {DEFAULT_TARGET}"
    return {
        "type": OneOf(list(TARGETS)), "callback": checked,
        "help": f"By default the machine of --machine; without it {otherwise}.",
    }  # fmt: skip


def using_machine(command: Command) -> Command:
    """A command that runs with the machine of --machine in use."""

    @functools.wraps(command)
    def run(*args: Any, machine: Machine | None, **options: Any) -> Any:
        if machine is None:
            return command(*args, **options)
        with machine_in_use(machine):
            return command(*args, **options)

    return run


def machine_option(command: Command) -> Command:
    """--machine, as a decorator."""
    return _OPTION("--machine", **MACHINE_OPTION)(using_machine(command))


def machine_options(default: str | None) -> Callable[[Command], Command]:
    """Both, as a decorator."""

    def decorate(command: Command) -> Command:
        return _OPTION("--target", **target_option(default))(machine_option(command))

    return decorate
