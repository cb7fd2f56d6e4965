# SPDX-License-Identifier: Apache-2.0
"""Predictions as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nkimoe.cli.layer_data import SEED
from nkimoe.cli.model.prediction import PrefillPrediction, TimedStep
from nkimoe.cli.sweep.files import ORIGIN
from nkimoe.prefill.estimate import Origin
from nkisim.report.files import write_whole
from nkisim.report.origin import made_by

SCHEMA_VERSION = 1
LAYOUT = ("model", "tokens", "prompts", "weights", "target", "lnc", "tp", "ep", "groups", "exchange")
STEP = ("step", "calls", "us", "low_us", "high_us", "origin", "extended", "bound_by", "note")


def as_json(name: str, found: PrefillPrediction) -> dict[str, Any]:
    """One prefill: layout, time to first token, steps, memory. Times in microseconds, sizes in bytes."""
    memory, layout = found.memory, found.prefill.layout
    return {
        **_layout(name, found),
        "ranks": layout.ranks, "chips": layout.chips, "parameters": found.prefill.model.parameters,
        "first_token": asdict(found.first_token),
        "shares": {origin.name.lower(): found.share(origin) for origin in Origin},
        "share_extended": found.share_extended,
        "steps": [_step(step) for step in found.steps],
        "memory_bytes": {**asdict(memory), "needed": memory.needed}, "fits": memory.fits,
    }  # fmt: skip


def write_json(path: Path, prefills: Sequence[dict[str, Any]]) -> None:
    """All of them, and what made them."""
    document = {"schema_version": SCHEMA_VERSION, "made_by": made_by(SEED), "prefills": list(prefills)}
    write_whole(path, json.dumps(document, indent=2) + "\n")


def write_csv(path: Path, name: str, found: Sequence[PrefillPrediction]) -> None:
    """A line a step; times of one call."""
    origin = {key: made_by(SEED)[key] for key in ORIGIN}
    text = io.StringIO()
    writer = csv.DictWriter(text, (*LAYOUT, *STEP, *ORIGIN), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**_layout(name, each), **_step(step), **origin} for each in found for step in each.steps)
    write_whole(path, text.getvalue())


def _layout(name: str, found: PrefillPrediction) -> dict[str, Any]:
    prefill, layout = found.prefill, found.prefill.layout
    values = (name, prefill.tokens, prefill.prompts, prefill.weights, layout.target, layout.lnc, layout.experts.tp,
              layout.experts.ep, layout.groups, layout.exchange)  # fmt: skip
    return dict(zip(LAYOUT, values, strict=True))


def _step(step: TimedStep) -> dict[str, Any]:
    values = (step.name, step.calls, step.each.us, step.each.low_us, step.each.high_us, step.origin.name.lower(),
              step.is_extended, step.bound_by, step.note)  # fmt: skip
    return dict(zip(STEP, values, strict=True))
