# SPDX-License-Identifier: Apache-2.0
"""One layer of a checkpoint as its model uses it: a text goes through the model up to the layer's experts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nkimoe.arrays import Array
from nkimoe.errors import RequestError
from nkimoe.hf.load_model import experts_module, load_model, loading
from nkimoe.hf.recognise import recognise_gate
from nkimoe.planning.tiling import ceil_div
from nkimoe.pytorch.gate import Gate


@dataclass(frozen=True, eq=False)
class ExpertsCall:
    """What the router of a layer handed to its experts, and what transformers' experts made of it.

    Attributes:
        hidden_states: float32 [T, H], each value one of bf16.
        ids, weights: int32 and float32 [T, K].
        output: float32 [T, H]: transformers, in float32 from weights rounded to bf16.
        gate: what the experts do between their projections.
        n_experts, intermediate_size: E, I.
        distinct_tokens: of the text.
    """

    hidden_states: Array
    ids: Array
    weights: Array
    output: Array
    gate: Gate
    n_experts: int
    intermediate_size: int
    distinct_tokens: int


def experts_call(folder: Path, layer: int, text: str, n_tokens: int) -> ExpertsCall:
    """Run `n_tokens` of `text` through the model up to `layer`, and note the call of its experts.

    The checkpoint's tokenizer is used if there is one; otherwise words are numbered. Layers above are not loaded, and
    quantised weights are dequantised.

    Raises:
        RequestError: transformers cannot load the folder; or the layer has no experts, or none that transformers'
            experts interface knows; or the text does not fit the model's vocabulary.
    """
    model = load_model(folder, layer + 1)
    with loading():
        ids = _token_ids(folder, text, n_tokens, model.config.get_text_config().vocab_size)
    module = experts_module(model, layer)
    noted: list[tuple[Tensor, ...]] = []
    handle = module.register_forward_hook(lambda _, inputs, output: noted.append(inputs))
    with torch.no_grad():
        model(input_ids=ids[None], use_cache=False)
        handle.remove()
        hidden, chosen, weights = noted[-1]
        hidden, weights = hidden.bfloat16().float(), weights.bfloat16().float()
        output = module.bfloat16().float()(hidden, chosen, weights)
    return ExpertsCall(
        hidden.numpy(), chosen.int().numpy(), weights.numpy(), output.numpy(), recognise_gate(module),
        *_sizes(module), len(ids.unique()),
    )  # fmt: skip


def _sizes(module: Any) -> tuple[int, int]:
    E, *last = module.down_proj.shape
    return E, last[0 if module.is_transposed else 1]


def _token_ids(folder: Path, text: str, count: int, vocabulary: int) -> Tensor:
    if _has_tokenizer(folder):
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        ids = tokenizer(text)["input_ids"]
    else:
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(word, len(numbers)) % vocabulary for word in re.findall(r"\w+|[^\w\s]", text.lower())]
    if not ids:
        raise RequestError("text", "has tokens", "none", "Give a text with words.")
    if max(ids) >= vocabulary:
        rule = f"gives ids below the model's vocabulary of {vocabulary}"
        raise RequestError("checkpoint", f"has a tokenizer that {rule}", max(ids), "Take the model's own tokenizer.")
    return torch.tensor((ids * ceil_div(count, len(ids)))[:count])


def _has_tokenizer(folder: Path) -> bool:
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
    return any((folder / name).is_file() for name in names)
