# SPDX-License-Identifier: Apache-2.0
"""nkimoe op: a command an operation, made from the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nkimoe.cli.json_report import write_json
from nkimoe.cli.op.experiment import OpSetup, run_operation
from nkimoe.cli.op.inputs import SEED
from nkimoe.cli.op.peer_keys import translated
from nkimoe.cli.op.report import as_json, as_lines
from nkimoe.cli.op.request import OpRequest
from nkimoe.cli.op.table import OPERATIONS
from nkimoe.cli.outputs import Outputs
from nkimoe.cli.refusals import WRONG, refusals
from nkisim.command_help import OneOf, SectionedCommand, SectionOption, examples
from nkisim.machine_options import MACHINE_OPTION, target_option, using_machine


@click.group()
def op() -> None:
    """Run one operation of nkimoe.ops, check it against its definition, predict its time.

    Options are ours, or those of Composable Kernel's example programs as they are written there: -t=3328 -k=5.
    """


class OpCommand(SectionedCommand):
    """The command of one operation."""

    def __init__(self, request: type[OpRequest]) -> None:
        keys = " ".join(f"-{written.key}=" for written in request.options().values() if written.key)
        super().__init__(
            request.name,
            help=request.__doc__,
            epilog=f"Keys of the peers' programs: {keys} -v= -seed= -json= -jsonfile=\n\n{_examples(request)}",
            params=[*_own_options(request), *_launch_options()],
            callback=using_machine(self._run),
        )
        self._request = request

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keys of the peers' programs first, so that -h=4096 is not -h."""
        translation = translated(self._request, args)
        if translation.without_effect:
            click.echo(f"without effect here: {', '.join(translation.without_effect)}", err=True)
        return super().parse_args(ctx, translation.arguments)

    def _run(self, target: str, lnc: str, seed: int, json: Path | None, no_numerics: bool, **options: Any) -> None:
        Outputs.checked(json=json)
        with refusals():
            result = run_operation(self._request(**options), OpSetup(target, int(lnc), seed, not no_numerics))
            click.echo("\n".join(as_lines(result)))
            if json is not None:
                write_json(json, as_json(result))
                click.echo(f"wrote {json}")
        if result.passed is False:
            sys.exit(WRONG)


def _own_options(request: type[OpRequest]) -> list[click.Option]:
    return [
        SectionOption(
            [written.flag, name], section="Operation", type=written.type, default=written.default, show_default=True,
            help=written.help,
        )
        for name, written in request.options().items()
    ]  # fmt: skip


def _launch_options() -> list[click.Option]:
    def simulation(*names: str, **attributes: Any) -> SectionOption:
        return SectionOption([*names], section="Simulation", **attributes)

    return [
        simulation("--target", **target_option("trn2")),
        simulation("--machine", **MACHINE_OPTION),
        simulation("--lnc", type=OneOf(["1", "2"]), default="2", show_default=True, help="NeuronCores."),
        simulation("--seed", type=click.IntRange(0), default=SEED, show_default=True, help="Of the inputs."),
        simulation("--no-numerics", is_flag=True, help="Shapes, integers and time only; nothing is compared."),
        simulation("--json", type=click.Path(path_type=Path), help="Write the result for scripts."),
    ]


def _examples(request: type[OpRequest]) -> str:
    """The operation with two of its options, written as ours and, if the peer's program has keys for them, as there."""
    shown = [written for written in request.options().values() if isinstance(written.default, int)][:2]
    ours = " ".join(f"{written.flag.partition('/')[0]} {written.default}" for written in shown)
    keys = [f"-{written.key}={written.default}" for written in shown if written.key]
    name = f"nkimoe op {request.name}"
    return examples(f"{name} {ours} --json out.json", *([f"{name} {' '.join(keys)}"] if keys else []))


for _request in OPERATIONS.values():
    op.add_command(OpCommand(_request))
