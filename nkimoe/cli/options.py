# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and the refusals of combinations that mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from nkimoe.choosing.tuned import TunedLayers, read_tuned_layers
from nkimoe.cli.auto import AUTO, chosen, fixed_by
from nkimoe.cli.checkpoint_layer import CheckpointLayer
from nkimoe.cli.experiment import PAIRS, TOKENS, Setup
from nkimoe.cli.layer_data import read_text
from nkimoe.errors import RequestError
from nkimoe.models import MODELS, RankLayout
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.variants import VARIANTS
from nkimoe.routing.made_up import GivenRouting
from nkimoe.routing.named import routing_named
from nkimoe.spec import BlockShardStrategy
from nkimoe.weights import MX_FORMATS
from nkimoe.weights.packed_checkpoint import is_packed
from nkisim.command_help import Decorator, OneOf, section
from nkisim.machine_options import machine_options

WEIGHT_FORMATS = ("bf16", "fp8-row", "fp8-static", "fp8-block", "int8", "mxfp8", "mxfp4")
Command = Callable[..., Any]


LAYER, INPUT = section("Layer"), section("Its input")
SIMULATION, PREDICTION, RESULTS = section("Simulation"), section("Prediction"), section("Results")


def layer_options(command: Command) -> Command:
    """--model ... --dequantise: what to run."""
    for option in reversed((*_layer(), *_input(), *_simulation())):
        command = option(command)
    return command


def _layer() -> tuple[Decorator, ...]:
    return (
        LAYER("--model", type=OneOf(list(MODELS)), default="qwen3-30b-a3b", show_default=True),
        LAYER("--tp", type=click.IntRange(1), help="Tensor parallel ranks; by default 4, a checkpoint's 1."),
        LAYER("--ep", type=click.IntRange(1), default=1, show_default=True, help="Expert parallel ranks; one is run."),
        LAYER("--checkpoint", type=click.Path(path_type=Path), help="Hugging Face checkpoint folder."),
        LAYER("--layer", type=click.IntRange(0), help="Layer of the checkpoint."),
        LAYER("--weights", type=OneOf(WEIGHT_FORMATS), default="bf16", show_default=True),
        LAYER("--dequantise", is_flag=True, help="Compute MX weights by a dense implementation, for trn2."),
    )


def _input() -> tuple[Decorator, ...]:
    return (
        INPUT("--tokens", type=click.IntRange(1), default=640, show_default=True),
        INPUT("--text", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Text to tokenize."),
        INPUT("--prompt", help="The text itself, instead of a file."),
        INPUT("--block-size", type=click.IntRange(1, 4096), help="Slots of a block; by default chosen."),
        INPUT("--slots", type=OneOf([PAIRS, TOKENS]),
              help="What a slot holds: a token and which choice of it, or, as always with --ep, a token."),
        INPUT("--routing", help="uniform, zipf:EXPONENT or a file of expert ids, instead of a router."),
        INPUT("--routing-layer", type=click.IntRange(0), help="Layer of the file; by default its first."),
    )  # fmt: skip


def _simulation() -> tuple[Decorator, ...]:
    names = [v.name for v in VARIANTS.values()]
    return (
        SIMULATION("--variant", type=OneOf([AUTO, *names]), default=AUTO, show_default=True),
        SIMULATION("--strategy", type=OneOf([AUTO, *BlockShardStrategy.__members__], case_sensitive=False),
                   default=AUTO, show_default=True, help="Which blocks a core takes, where cores split blocks."),
        SIMULATION("--tuned", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                   help="Rows of nkimoe sweep --csv, which decide what auto leaves open."),
        machine_options(default="trn2"),
        SIMULATION("--lnc", type=OneOf(["1", "2"]), default="2", show_default=True, help="NeuronCores."),
    )  # fmt: skip


def make_setup(options: dict[str, Any]) -> Setup:
    """The setup the options describe.

    Raises:
        click.UsageError: options that contradict each other, or a checkpoint that cannot be read.
    """
    if (options["checkpoint"] is None) != (options["layer"] is None):
        raise click.UsageError("--checkpoint and --layer go together: which layer of which checkpoint.")
    check_weights(options["weights"], options["target"], options["dequantise"])
    if options["text"] is not None and options["prompt"] is not None:
        raise click.UsageError("--text and --prompt both give the text: leave one out.")
    if options["ep"] > 1 and options["slots"] == PAIRS:
        raise click.UsageError("--slots pairs is for --ep 1: other ranks have the other choices of a token.")
    text = read_text(options["text"]) if options["prompt"] is None else options["prompt"]
    checkpoint = _checkpoint(options, text)
    model = MODELS[options["model"]] if checkpoint is None else checkpoint.model
    ranks = RankLayout(options["tp"] or (4 if checkpoint is None else 1), options["ep"])
    with usage_errors():
        ranks.check(model)
    fixed = fixed_by(options)
    setup = Setup(
        model=options["model"] if checkpoint is None else checkpoint.name,
        tp=ranks.tp,
        ep=ranks.ep,
        tokens=options["tokens"],
        variant=variant_for(options["variant"], options["weights"] in MX_FORMATS),
        target=options["target"],
        lnc=int(options["lnc"]),
        block_size=options["block_size"] or block_size_for(options["tokens"] * model.K, model.E),
        slots=options["slots"] or (PAIRS if ranks.ep == 1 else TOKENS),
        strategy=fixed.strategy or BlockShardStrategy.HI_LO,
        routing=_routing(options, checkpoint),
        weights=options["weights"],
        text=text,
        numerics=not options.get("no_numerics", False),
        checkpoint=checkpoint,
        dequantise=options["dequantise"],
    )
    return chosen(setup, fixed, tuned_layers(options["tuned"]))


def tuned_layers(path: Path | None) -> TunedLayers | None:
    """The table of a file.

    Raises:
        click.UsageError: it is none.
    """
    if path is None:
        return None
    with usage_errors():
        return read_tuned_layers(path)


def _routing(options: dict[str, Any], checkpoint: CheckpointLayer | None) -> GivenRouting | None:
    if options["routing"] is None:
        if options["routing_layer"] is not None:
            raise click.UsageError("--routing-layer is for --routing FILE.")
        return None
    if checkpoint is not None:
        raise click.UsageError("--routing is for a layer without --checkpoint, whose own router has run.")
    with usage_errors():
        return routing_named(options["routing"], options["routing_layer"])


@contextmanager
def usage_errors() -> Iterator[None]:
    """What an option asks for and cannot be is a mistake of usage, named after the option."""
    try:
        yield
    except RequestError as error:
        raise click.UsageError(f"--{error.argument} {error.rule}; got {error.actual}. {error.fix}") from error
    except OSError as error:
        raise click.UsageError(f"--routing {error}") from error


def _checkpoint(options: dict[str, Any], text: str) -> CheckpointLayer | None:
    if options["checkpoint"] is None:
        return None
    if is_packed(options["checkpoint"]):
        raise click.UsageError(
            f"--checkpoint {options['checkpoint']}: holds what nkimoe pack wrote, weights without their model: give "
            "the checkpoint that was packed, with the same --weights. nkimoe.weights.read_layer reads packed layers."
        )
    try:
        return CheckpointLayer.read(options["checkpoint"], options["layer"], text, options["tokens"])
    except (RequestError, OSError) as error:
        raise click.UsageError(f"--checkpoint {options['checkpoint']}: {error}") from error


def check_weights(weights: str, target: str, dequantise: bool) -> None:
    """The target takes the weights.

    Raises:
        click.UsageError: not so.
    """
    is_mx = weights in MX_FORMATS
    if dequantise and not is_mx:
        raise click.UsageError("--dequantise is for MX weights.")
    if is_mx and target == "trn2" and not dequantise:
        raise click.UsageError("trn2 has no MX: pass --target trn3, or --dequantise for a dense implementation.")


def variant_for(name: str, is_mx: bool) -> str:
    """The variant of that name, or the first of its numerics.

    Raises:
        click.UsageError: it has other numerics.
    """
    fitting = [v.name for v in VARIANTS.values() if v.is_mx == is_mx]
    if name == AUTO:
        return fitting[0]
    if name not in fitting:
        raise click.UsageError(f"--variant {name} does not take these weights; {', '.join(fitting)} do.")
    return name
