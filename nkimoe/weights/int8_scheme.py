# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says about its int8 weights: how they were made, and whether activations are int8, too.

compressed-tensors   config.json: groups of modules, each with a scheme of weights and one of activations
w8a8_int8            config.json: a scale an output channel, and a token
Ascend               quant_model_description.json: a word a tensor, such as W8A8_DYNAMIC
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nkimoe.errors import InputError
from nkimoe.json_object import DOWNLOAD, read_object
from nkimoe.spec import INT8_PER_TOKEN

CONFIG, ASCEND = "config.json", "quant_model_description.json"
COMPRESSED_TENSORS, SGLANG = "compressed-tensors", "w8a8_int8"
# What is read, as compressed-tensors names it.
_WEIGHTS = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False}
_ACTIVATIONS = {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True}
_DEFAULTS = {"num_bits": 8, "type": "int", "strategy": "tensor", "symmetric": True, "dynamic": False}
_ASCEND = {"W8A8_DYNAMIC": INT8_PER_TOKEN, "W8A16": None}
_FIX = "Dequantise the checkpoint, or quantise it anew from bf16."


@dataclass(frozen=True)
class Int8Scheme:
    """The description in a checkpoint's folder, read when a layer with integers is opened.

    Attributes:
        folder: of the checkpoint.
    """

    folder: Path

    def activation_quantization(self, tensor: str) -> str | None:
        """Of the activations that a weight, by its full name, multiplies: as `moe_cte` takes it.

        Raises:
            InputError: nothing says how the weight was quantised, or it was so in a way that is not read.
        """
        word = self._words.get(tensor)
        if word is not None:
            if not isinstance(word, str) or word not in _ASCEND:
                raise InputError(tensor, f"is {' or '.join(_ASCEND)} in {ASCEND}", repr(word), _FIX)
            return _ASCEND[word]
        method = self._config.get("quant_method")
        if method == SGLANG:
            return INT8_PER_TOKEN
        if method != COMPRESSED_TENSORS:
            rule = f"has integer weights that {CONFIG} describes as {COMPRESSED_TENSORS} or {SGLANG}, or {ASCEND} does"
            raise InputError(tensor, rule, f"quant_method {method!r}", _FIX)
        groups = _object("config_groups", self._config.get("config_groups", {}))
        group = _group_of(groups, tensor.removesuffix(".weight"))
        _check(f"{tensor}: weights", group.get("weights"), _WEIGHTS)
        if "input_activations" not in group:  # null says that there are none; a word that is lost says nothing
            raise InputError(f"{tensor}: input_activations", f"are an object or null in {CONFIG}", "neither", _FIX)
        if group["input_activations"] is None:
            return None
        _check(f"{tensor}: input_activations", group["input_activations"], _ACTIVATIONS)
        return INT8_PER_TOKEN

    @cached_property
    def _words(self) -> dict[str, Any]:
        file = self.folder / ASCEND
        return read_object(file) if os.path.lexists(file) else {}

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        found = read_object(self.folder / CONFIG).get("quantization_config")
        return {} if found is None else _object(f"{CONFIG}: quantization_config", found)


def _object(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(what, "is an object", repr(value), DOWNLOAD)
    return value


def _group_of(groups: Mapping[str, Any], module: str) -> dict[str, Any]:
    """The group of a linear layer: one that targets it by name or pattern, before one that targets its class."""
    targets = [
        (target, _object(f"config_groups.{name}", group)) for name, group in groups.items()
        for target in _targets(name, group)
    ]  # fmt: skip
    for target, group in targets:
        pattern = target.removeprefix("re:")
        if target == module or (pattern != target and re.match(pattern, module)):
            return group
    for target, group in targets:
        if target == "Linear":
            return group
    actual = ", ".join(target for target, _ in targets) or "no target"
    raise InputError(module, f"is in a group of config_groups in {CONFIG}", actual, _FIX)


def _targets(name: str, group: object) -> list[str]:
    """The modules of a group, by names, classes or patterns."""
    targets = _object(f"config_groups.{name}", group).get("targets", [])
    try:
        for target in targets:
            re.compile(target)
    except (TypeError, re.error) as problem:
        raise InputError(f"config_groups.{name}.targets", "are names and patterns", problem, DOWNLOAD) from None
    return list(targets)


def _check(what: str, given: object, wanted: Mapping[str, Any]) -> None:
    """Every word of a scheme is the one that is read."""
    scheme = {} if given is None else _object(what, given)
    for name, value in wanted.items():
        found = scheme.get(name, _DEFAULTS[name])
        if found != value or type(found) is not type(value):
            raise InputError(f"{what}.{name}", f"is {value!r}", repr(found), _FIX)
