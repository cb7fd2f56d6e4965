# SPDX-License-Identifier: Apache-2.0
"""Which layers a sweep is of: rows of the table of models, a config.json, or sizes of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from nkimoe.cli.sweep.axes import AxisNames
from nkimoe.config_json import model_of_config
from nkimoe.errors import RequestError
from nkimoe.models import MODELS, Model
from nkimoe.prefill.config import transformer_of_config
from nkimoe.prefill.published import TRANSFORMERS
from nkimoe.prefill.transformer import Transformer
from nkimoe.routing.rule import RoutingRule
from nkisim.command_help import section

SIZES = ("hidden", "intermediate", "experts", "top_k")
OWN = "own sizes"
DEFAULT = "qwen3-30b-a3b"
NAMES = tuple(MODELS)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
LAYERS = section("Layers")
OPTIONS = (
    LAYERS("--model", "models", type=AxisNames(NAMES, NAMES), metavar="NAME,...",
           help=f"{', '.join(NAMES)}; all.  [default: {DEFAULT}]"),
    LAYERS("--hidden", type=click.IntRange(1), help="A layer of one's own: hidden size,"),
    LAYERS("--intermediate", type=click.IntRange(1), help="columns of an expert,"),
    LAYERS("--experts", type=click.IntRange(1), help="experts,"),
    LAYERS("--top-k", type=click.IntRange(1), help="and experts a token."),
    LAYERS("--checkpoint", type=FOLDER, help="The layer of its config.json."),
    LAYERS("--config", type=FILE, help="The layer of a Hugging Face config.json."),
)  # fmt: skip


def layers_of(options: Mapping[str, Any]) -> dict[str, Model]:
    """What they ask for, by name.

    Raises:
        click.UsageError: sizes that are no layer, or a file that describes none.
    """
    names = options["models"] or ()
    found = {name: MODELS[name] for name in names}
    for option in ("checkpoint", "config"):
        path = options[option]
        if path is not None:
            try:
                found[_name(path)] = model_of_config(path)
            except (RequestError, OSError) as error:
                raise click.UsageError(f"--{option} {error}") from error
    sizes = {name: options[name] for name in SIZES}
    if any(sizes.values()):
        found[OWN] = _own(sizes)
    return found or {DEFAULT: MODELS[DEFAULT]}


def wholes_of(options: Mapping[str, Any]) -> dict[str, Transformer]:
    """The models that they are layers of, by the same name, as far as it is known."""
    found = {name: TRANSFORMERS[name] for name in layers_of(options) if name in TRANSFORMERS}
    for path in filter(None, (options["checkpoint"], options["config"])):
        with suppress(RequestError):  # a file may describe the layer alone
            found[_name(path)] = transformer_of_config(path)
    return found


def _own(sizes: Mapping[str, int | None]) -> Model:
    missing = [f"--{name.replace('_', '-')}" for name, size in sizes.items() if size is None]
    if missing:
        raise click.UsageError(f"A layer of one's own needs {', '.join(missing)}, too.")
    H, I, E, K = (size or 0 for size in sizes.values())
    if K > E:
        raise click.UsageError(f"--top-k {K} of --experts {E}: a token cannot go to more experts than there are.")
    return Model(H, I, E, RoutingRule(K), "options")


def _name(path: Path) -> str:
    resolved = path.resolve()
    return resolved.name if path.is_dir() else f"{resolved.parent.name}/{resolved.name}"
