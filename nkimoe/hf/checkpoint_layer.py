"""One layer of a checkpoint as its model uses it: a text goes through the model up to the layer's experts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nkimoe.arrays import Array
from nkimoe.errors import RequestError
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
    try:
        with _quiet():
            model = _model(folder, layer)
            ids = _token_ids(folder, text, n_tokens, model.config.get_text_config().vocab_size)
    except RequestError:
        raise
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RequestError("checkpoint", "is one that transformers loads", reason, "Download all its files.") from error
    module = _experts_of(model, layer)
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


def _model(folder: Path, layer: int) -> Any:
    """The model without the layers above, in float32."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    text_config = config.get_text_config()
    text_config.num_hidden_layers = min(layer + 1, text_config.num_hidden_layers)
    if isinstance(quantization := getattr(config, "quantization_config", None), dict):
        quantization["dequantize"] = True  # otherwise a matter of which kernels are installed
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, local_files_only=True, experts_implementation="eager",
        output_loading_info=True,
    )  # fmt: skip
    model, info = loaded
    if missing := sorted(info["missing_keys"]):  # would be random
        rule = f"has all tensors of the layers up to {layer}"
        raise RequestError("checkpoint", rule, f"no {', '.join(missing[:3])}", "Download all its files.")
    return model.float().eval()  # what was quantised comes as bf16, whatever dtype says


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers reports every tensor that the layers above left unused, and draws its own progress bars."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    had_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _experts_of(model: Any, layer: int) -> Any:
    for name, module in model.named_modules():
        if re.search(rf"layers\.{layer}\.", name) and hasattr(module, "has_post_expert_norm"):
            return module
    fix = "Models without `use_experts_implementation` cannot be compared."
    raise RequestError("layer", "has experts of transformers' interface", layer, fix)


def _sizes(module: Any) -> tuple[int, int]:
    E, *last = module.down_proj.shape
    return E, last[0 if module.is_transposed else 1]


def _token_ids(folder: Path, text: str, count: int, vocabulary: int) -> Tensor:
    if _has_tokenizer(folder):
        from transformers import AutoTokenizer

        ids = AutoTokenizer.from_pretrained(folder, local_files_only=True)(text)["input_ids"]
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
