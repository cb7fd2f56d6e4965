"""Layers to predict: of the library's models, or of a file of models in aiter's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nkimoe.errors import require
from nkimoe.models import MODELS

ALL = "all"


class BenchLayer(NamedTuple):
    """A layer in aiter's letters.

    Attributes:
        N: columns of the first projection, gate and up.
        K: hidden size.
    """

    model: str
    N: int
    K: int
    E: int
    top_k: int


def layers(models: str, path: Path | None) -> list[BenchLayer]:
    """Those whose name begins with one of the names, which commas separate, or all.

    Raises:
        RequestError: a name without a layer, or a file without any. OSError: no such file. ValueError: it is no JSON.
    """
    if path is None:
        known = [BenchLayer(name, 2 * model.I, model.H, model.E, model.K) for name, model in MODELS.items()]
    else:
        known = [*_of_file(json.loads(path.read_text("utf-8")), [])]
        rule = "has models with hidden_size, intermediate_size, num_expert and top_k"
        require(bool(known), "-model_configs", rule, path, "Leave it out for the models of nkimoe.")
    if models == ALL:
        return known
    found = []
    for name in models.split(","):
        some = [layer for layer in known if layer.model.startswith(name)]
        require(bool(some), "--model", f"is {ALL} or of {', '.join(layer.model for layer in known)}", name, "Pick one.")
        found += some
    return found


def _of_file(entry: Any, names: list[str]) -> Iterator[BenchLayer]:
    """Entries with experts, however deep, under the names that lead to them."""
    if not isinstance(entry, dict):
        return
    experts = entry.get("num_expert", entry.get("n_routed_experts"))
    if experts and "top_k" in entry:
        sizes = int(entry["intermediate_size"]), int(entry["hidden_size"])
        yield BenchLayer("-".join(names), *sizes, int(experts), int(entry["top_k"]))
        return
    for name, inner in entry.items():
        yield from _of_file(inner, [*names, name])
