# SPDX-License-Identifier: Apache-2.0
"""Options of `nkimoe model`, in sections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nkimoe.cli.keeping import CACHE, JOBS
from nkimoe.cli.options import INPUT, RESULTS, SIMULATION, WEIGHT_FORMATS
from nkimoe.cli.sweep.axes import AxisNumbers
from nkimoe.cli.sweep.options import NUMBERS, ROUTER
from nkimoe.prefill.layout import ALL_GATHER, ALL_TO_ALL
from nkimoe.prefill.published import TRANSFORMERS
from nkisim.command_help import OneOf, section
from nkisim.machine_options import machine_options

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
WRITTEN = click.Path(path_type=Path, dir_okay=False)
MODEL, LAYOUT = section("Model"), section("Layout")
OPTIONS = (
    MODEL("--model", type=OneOf(list(TRANSFORMERS)), help="[default: qwen3-30b-a3b]"),
    MODEL("--checkpoint", type=FOLDER, help="The model of its config.json."),
    MODEL("--config", type=FILE, help="The model of a Hugging Face config.json."),
    INPUT("--tokens", type=AxisNumbers(), metavar=NUMBERS, default="4096", show_default=True,
          help="Of all prompts; also 1024..32768, which doubles."),
    INPUT("--prompts", type=click.IntRange(1), default=1, show_default=True, help="Equally long ones."),
    INPUT("--routing", default=ROUTER, show_default=True,
          help="router, uniform, zipf:EXPONENT, or a file of expert ids: its least, middling and most uneven layer."),
    LAYOUT("--tp", type=click.IntRange(1), default=4, show_default=True, help="Ranks that share an expert's columns."),
    LAYOUT("--ep", type=click.IntRange(1), default=1, show_default=True, help="Groups of them that share the experts."),
    LAYOUT("--groups", type=click.IntRange(1), default=1, show_default=True,
           help="Groups of ranks with prompts, and all heads, of their own."),
    LAYOUT("--exchange", type=OneOf([ALL_GATHER, ALL_TO_ALL]), default=ALL_GATHER, show_default=True,
           help="How tokens of other groups come to experts."),
    LAYOUT("--weights", type=OneOf(WEIGHT_FORMATS), default="bf16", show_default=True, help="The experts' format."),
    LAYOUT("--chips", type=click.IntRange(1), help="Refuse layouts that need more."),
    SIMULATION("--nkilib", type=FOLDER, help="A clone of nki-library, for its attention, projections and MLPs."),
    machine_options(default="trn2"),
    SIMULATION("--lnc", type=OneOf(["1", "2"]), default="2", show_default=True, help="NeuronCores of a rank."),
    JOBS,
    *CACHE,
    RESULTS("--json", type=WRITTEN, help="Write steps, times and memory."),
    RESULTS("--csv", type=WRITTEN, help="Write a line a step."),
    RESULTS("--picture", type=WRITTEN, help="Draw the time of the steps against tokens (png, svg, pdf)."),
)  # fmt: skip


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
