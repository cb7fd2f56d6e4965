# SPDX-License-Identifier: Apache-2.0
"""What the config.json of a checkpoint says of its layers, held against what its files hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nkimoe.config_json import EXPERTS, HIDDEN, INTERMEDIATE, LAYERS, TOP_K, find_size, read_config
from nkimoe.errors import InputError
from nkimoe.weights.checkpoint_files import ALL_FILES

CONFIG = "config.json"
_MLP = re.compile(r"(?:(?:model|language_model)\.)*layers\.([0-9]{1,6})\.(?:mlp|block_sparse_moe)\..+")


@dataclass(frozen=True)
class DeclaredSizes:
    """Sizes in config.json; None where it does not say.

    Attributes:
        H, I, E: of a layer's experts, and how many they are.
        n_layers: of the model.
    """

    H: int | None = None
    I: int | None = None
    E: int | None = None
    n_layers: int | None = None

    @classmethod
    def of(cls, folder: Path) -> DeclaredSizes:
        """Those of a checkpoint's folder.

        Raises:
            InputError: it has no config.json, or a damaged one, or one with a size that is none.
        """
        config = read_config(folder)
        H, I, E, n_layers, _ = (
            find_size(config, names, CONFIG) for names in (HIDDEN, INTERMEDIATE, EXPERTS, LAYERS, TOP_K)
        )
        return cls(H, I, E, n_layers)

    def check_layers(self, names: Iterable[str]) -> None:
        """Raises InputError unless each layer has an MLP, with experts or without, among the tensors of these names."""
        present = {int(found[1]) for found in map(_MLP.fullmatch, names) if found}
        missing = next((layer for layer in range(self.n_layers or 0) if layer not in present), None)
        if missing is not None:
            rule = f"holds the {self.n_layers} layers that {CONFIG} names"
            raise InputError("checkpoint", rule, f"no MLP of layer {missing}", ALL_FILES)

    def check_experts(self, place: str, E: int, H: int, I: int, rows_of_router: int | None) -> None:
        """Raises InputError unless a layer's experts, E of sizes H and I, are all that there should be.

        Args:
            rows_of_router: how many experts it chooses from, which decides where config.json does not say.
        """
        expected, said_by = (self.E, CONFIG) if self.E is not None else (rows_of_router, "the router")
        if expected is None:
            fix = f"Add num_experts to {CONFIG}."
            raise InputError(place, f"are as many as {CONFIG} or a router says", "neither says it", fix)
        for size, wanted, found in (("experts", expected, E), ("H", self.H, H), ("I", self.I, I)):
            if wanted is not None and wanted != found:
                said = said_by if size == "experts" else CONFIG
                raise InputError(place, f"have {size} = {wanted}, as {said} says", found, ALL_FILES)
