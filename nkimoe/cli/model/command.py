# SPDX-License-Identifier: Apache-2.0
"""nkimoe model: the prefill of a whole model on one layout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from nkimoe.cli.keeping import store_of
from nkimoe.cli.layer_data import read_text
from nkimoe.cli.model.files import as_json, write_csv, write_json
from nkimoe.cli.model.library import Checkout
from nkimoe.cli.model.options import model_options
from nkimoe.cli.model.picture import draw
from nkimoe.cli.model.prediction import PrefillPrediction, predicted, simulations_of
from nkimoe.cli.model.sample import Sample, Simulated, sample
from nkimoe.cli.model.simulations import Simulations
from nkimoe.cli.model.table import lines_of
from nkimoe.cli.options import check_weights, usage_errors
from nkimoe.cli.refusals import refusals
from nkimoe.cli.sweep.files import check_files
from nkimoe.cli.sweep.options import ROUTER
from nkimoe.errors import RequestError
from nkimoe.models import RankLayout
from nkimoe.prefill.config import transformer_of_config
from nkimoe.prefill.layout import PrefillLayout
from nkimoe.prefill.published import TRANSFORMERS
from nkimoe.prefill.steps import Prefill
from nkimoe.prefill.transformer import Transformer
from nkimoe.routing.expert_load import ExpertLoad
from nkimoe.routing.made_up import GivenRouting
from nkimoe.routing.named import routing_named
from nkimoe.routing.recorded import SUFFIXES, read_routing
from nkimoe.sweep.store import Store
from nkisim.command_help import SectionedCommand, examples
from nkisim.machine import load_machine

DEFAULT = "qwen3-30b-a3b"
FILES = ("json", "csv", "picture")


@click.command(cls=SectionedCommand, epilog=examples(
    "nkimoe model --model qwen3-235b-a22b --tp 4 --ep 16 --tokens 1024..32768 --nkilib nki-library",
    "nkimoe model --model gpt-oss-120b --target trn3 --weights mxfp4 --tp 4 --ep 2 --picture prefill.png",
    "nkimoe model --config config.json --ep 8 --groups 8 --prompts 8 --exchange all-to-all --routing recorded.npz",
))  # fmt: skip
@model_options
def model(**options: Any) -> None:
    """Predict the prefill of a whole model: time to first token, its steps, what bounds them, and memory of a rank.

    Experts and routing are simulated; attention, projections and MLPs are with a clone of nki-library, and estimated
    by arithmetic without. Exchanges between ranks follow a stated model.
    """
    check_files(options, FILES)
    name, whole = _model(options)
    check_weights(options["weights"], options["target"], dequantise=False)
    with usage_errors():
        prefills = _prefills(whole, options)
        simulations = Simulations(
            name, _routings(whole, options["routing"], options["ep"]), read_text(None),
            Checkout.of(options["nkilib"]) if options["nkilib"] else None,
        )  # fmt: skip
    with refusals():
        wanted = [asked for prefill in prefills for asked in simulations_of(prefill, simulations)]
        answers = _answers(wanted, store_of(options), options["jobs"], options["target"])
        found = [predicted(prefill, simulations, lambda asked: answers[_key(asked)]) for prefill in prefills]
        _report(name, found, options)


def _prefills(whole: Transformer, options: dict[str, Any]) -> list[Prefill]:
    ranks = RankLayout(options["tp"], options["ep"])
    layout = PrefillLayout(ranks, options["target"], int(options["lnc"]), options["groups"], options["exchange"])
    prefills = [Prefill(whole, layout, T, options["prompts"], options["weights"]) for T in sorted(options["tokens"])]
    if options["chips"] is not None and layout.chips > options["chips"]:
        fix = "Take fewer ranks, or more chips."
        raise RequestError("chips", f"hold {layout.ranks} ranks, which fill {layout.chips}", options["chips"], fix)
    return prefills


def _model(options: dict[str, Any]) -> tuple[str, Transformer]:
    given = [name for name in ("model", "checkpoint", "config") if options[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"--{' and --'.join(given)} each name a model: leave all but one out.")
    path: Path | None = options["checkpoint"] or options["config"]
    if path is None:
        name = options["model"] or DEFAULT
        return name, TRANSFORMERS[name]
    try:
        return (path if path.is_dir() else path.parent).resolve().name, transformer_of_config(path)
    except (RequestError, OSError) as error:
        raise click.UsageError(f"--{given[0]} {error}") from error


def _routings(whole: Transformer, name: str, ep: int) -> tuple[GivenRouting | None, ...]:
    """One; of a record the layers whose busiest rank has least, middling and most."""
    if name == ROUTER:
        return (None,)
    if Path(name).suffix not in SUFFIXES:
        return (routing_named(name),)
    record = read_routing(name)
    layers = [record.of_layer(number) for number in sorted(record.layers)]
    E, K = whole.moe.E, whole.moe.K
    loads = [ExpertLoad.of(each.expert_ids(len(each.ids), E, K), E).of_ranks(ep).busiest_over_mean for each in layers]
    in_order = sorted(range(len(layers)), key=lambda n: loads[n])
    return tuple(layers[in_order[n]] for n in dict.fromkeys((0, len(layers) // 2, len(layers) - 1)))


def _answers(wanted: Iterable[Simulated], store: Store | None, jobs: int | None, target: str) -> dict[str, Sample]:
    """By key: what is kept, and what is simulated now."""
    from nkimoe.sweep.engine import Processes, results

    by_key = {_key(asked): asked for asked in wanted}
    kept = {key: store.get(asked.request()) for key, asked in by_key.items()} if store else {}
    answers = {key: Sample.from_json(found) for key, found in kept.items() if found}
    waiting = [key for key in by_key if key not in answers]
    engine = Processes(jobs or min(os.cpu_count() or 1, max(1, len(waiting))))
    function = partial(sample, {target: load_machine(target)})
    finished = results(engine, function, [by_key[key] for key in waiting])
    for number, answer in track(finished, "simulations", len(waiting), console=Console(stderr=True), transient=True):
        answers[waiting[number]] = answer
        if store is not None and answer.estimate is not None:
            store.keep(by_key[waiting[number]].request(), answer.as_json())
    return answers


def _key(asked: Simulated) -> str:
    return json.dumps(asked.request(), sort_keys=True)


def _report(name: str, found: list[PrefillPrediction], options: dict[str, Any]) -> None:
    for line in lines_of(name, found):
        click.echo(line)
    if options["json"] is not None:
        write_json(options["json"], [as_json(name, each) for each in found])
    if options["csv"] is not None:
        write_csv(options["csv"], name, found)
    if options["picture"] is not None:
        draw(name, found, options["picture"])
    for each in FILES:
        if options[each] is not None:
            click.echo(f"wrote {options[each]}")
