"""--target and --machine, as every command that predicts has them: for which machine, and with whose constants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nkisim.command_help import Decorator, OneOf, section
from nkisim.machine import TARGETS, load_machine, machine_in_use, read_machine, target_from_environment, target_in_use

_OPTION = section("Simulation")


def _use(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Until the command ends, the machine of the file is the one of its name."""
    if path is None:
        return
    try:
        machine = read_machine(path)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"--machine {path}: {error}") from None
    context.with_resource(machine_in_use(machine))


MACHINE_OPTION: dict[str, Any] = {
    "type": click.Path(exists=True, dir_okay=False, path_type=Path),
    "metavar": "FILE",
    "callback": _use,
    "is_eager": True,  # before --target
    "expose_value": False,
    "help": "Predict with the constants of this machine file, as `python -m nkisim fit` writes them.",
}
"""Of `click.option("--machine")`."""


def target_option(default: str | None) -> dict[str, Any]:
    """Of `click.option("--target")`.

    Args:
        default: where no machine is in use; None: what the environment says.
    """

    def checked(_: click.Context, __: click.Parameter, asked: str | None) -> str:
        target = asked or (target_from_environment() if default is None else target_in_use() or default)
        try:
            return load_machine(target).name
        except ValueError as error:
            raise click.UsageError(f"--target: {error}") from None

    otherwise = default or "as the environment says"
    return {
        "type": OneOf(list(TARGETS)), "callback": checked,
        "help": f"By default the machine of --machine; without it {otherwise}.",
    }  # fmt: skip


def machine_options(default: str | None) -> Decorator:
    """Both, as a decorator."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        return _OPTION("--target", **target_option(default))(_OPTION("--machine", **MACHINE_OPTION)(command))

    return decorate
