# SPDX-License-Identifier: Apache-2.0
"""Options of `nkimoe sweep`, in sections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nkimoe.cli.auto import AUTO
from nkimoe.cli.keeping import CACHE, ENGINE, JOBS, SCHEDULER
from nkimoe.cli.options import INPUT, RESULTS, SIMULATION, WEIGHT_FORMATS
from nkimoe.cli.sweep.axes import AxisNames, AxisNumbers
from nkimoe.cli.sweep.judge import OBJECTIVES
from nkimoe.cli.sweep.layers import OPTIONS as LAYERS
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.variants import VARIANTS
from nkimoe.spec import BlockShardStrategy
from nkisim.command_help import Decorator, OneOf, section
from nkisim.machine import Machine
from nkisim.machine_options import machine_option

Command = Callable[..., Any]

ROUTER = "router"
ALL, BEST_ALONE = "all", "best"  # points that are predicted
DEFAULT_TARGET = "trn2"
FILE = click.Path(path_type=Path, dir_okay=False)
NUMBERS, NAMES = "NUMBER,...", "NAME,..."
VARIANT_NAMES = tuple(variant.name for variant in VARIANTS.values())
STRATEGIES = tuple(BlockShardStrategy.__members__)
LAYOUT, BEST = section("Layout"), section("The best row")


def sweep_options(command: Command) -> Command:
    """Add them."""
    for option in reversed((*LAYERS, *_input(), *_layout(), *_simulation(), *_best(), *_work(), *_results())):
        command = option(command)
    return command


def _input() -> tuple[Decorator, ...]:
    return (
        INPUT("--tokens", type=AxisNumbers(), metavar=NUMBERS, default="640", show_default=True,
              help="Also 512..8192, which doubles, 1..81*3, and 512..1024+128, as all numbers."),
        INPUT("--routing", type=AxisNames(), metavar=NAMES, default=ROUTER, show_default=True,
              help="router, uniform, zipf:EXPONENT, files of expert ids."),
        INPUT("--routing-layer", type=click.IntRange(0), help="Layer of the files; by default their first."),
    )  # fmt: skip


def _layout() -> tuple[Decorator, ...]:
    return (
        LAYOUT("--tp", type=AxisNumbers(), metavar=NUMBERS, default="4", show_default=True,
               help="Ranks that share an expert's columns."),
        LAYOUT("--ep", type=AxisNumbers(), metavar=NUMBERS,
               help="Groups of ranks that share the experts.  [default: 1]"),
        LAYOUT("--ranks", type=AxisNumbers(), metavar=NUMBERS,
               help="Instead of --ep: layouts of so many ranks, for each --tp that divides them."),
        LAYOUT("--ignore-memory", is_flag=True, help="Also layouts whose ranks cannot hold their part of the model."),
        LAYOUT("--weights", type=AxisNames(WEIGHT_FORMATS, WEIGHT_FORMATS), metavar=NAMES, default="bf16",
               show_default=True, help=_choice(WEIGHT_FORMATS)),
        LAYOUT("--block-size", type=AxisNumbers(AUTO), metavar=NUMBERS, default=AUTO, show_default=True,
               help="Slots of a block."),
    )  # fmt: skip


def _simulation() -> tuple[Decorator, ...]:
    return (
        SIMULATION("--variant", type=AxisNames((AUTO, *VARIANT_NAMES), VARIANT_NAMES), metavar=NAMES, default=AUTO,
                   show_default=True, help=_choice((AUTO, *VARIANT_NAMES))),
        SIMULATION("--strategy", type=AxisNames((AUTO, *STRATEGIES), STRATEGIES), metavar=NAMES, default=AUTO,
                   show_default=True,
                   help=f"Which blocks a core takes, where cores split blocks: {_choice((AUTO, *STRATEGIES))}"),
        SIMULATION("--tuned", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                   help="Rows of an earlier --csv, which decide what auto leaves open."),
        SIMULATION("--target", type=AxisNames(tuple(TARGETS), tuple(TARGETS)), metavar=NAMES, callback=_targets,
                   help=f"{_choice(tuple(TARGETS))} By default the machine of --machine; without it {DEFAULT_TARGET}."),
        machine_option,
        SIMULATION("--lnc", type=OneOf(["1", "2"]), default="2", show_default=True, help="NeuronCores of a rank."),
    )  # fmt: skip


def _best() -> tuple[Decorator, ...]:
    return (
        BEST("--price-per-hour", type=click.FloatRange(0, min_open=True), help="Of what one rank runs on."),
        BEST("--objective", type=OneOf(list(OBJECTIVES)), help="[default: cost with a price, else latency]"),
        BEST("--predict", type=OneOf([ALL, BEST_ALONE]), default=ALL, show_default=True,
             help="All points, or those that may be the best by the model of cost; others are estimated."),
    )  # fmt: skip


def _work() -> tuple[Decorator, ...]:
    return (
        ENGINE,
        JOBS,
        SCHEDULER,
        *CACHE,
    )


def _results() -> tuple[Decorator, ...]:
    return (
        RESULTS("--csv", type=FILE, help="Write the rows, with version, clock and command."),
        RESULTS("--json", type=FILE, help="Write the rows, and why which is best."),
        RESULTS("--parquet", type=FILE, help="Write the rows; needs nkimoe[parquet]."),
        RESULTS("--picture", type=FILE, help="Draw latency and tokens a second against tokens (png, svg, pdf)."),
    )


def _choice(names: tuple[str, ...]) -> str:
    return f"{', '.join(names)}; all."


def _targets(context: click.Context, _: click.Parameter, asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """A machine file is of one target."""
    machine: Machine | None = context.params.get("machine")
    if machine is None:
        return asked or (DEFAULT_TARGET,)
    others = [name for name in asked or () if name != machine.name]
    if others:
        raise click.UsageError(f"--target {','.join(others)}: the machine file in use describes {machine.name}")
    return (machine.name,)
