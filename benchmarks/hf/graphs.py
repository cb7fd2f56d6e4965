"""One family as a graph: compiled, or exported, before the model was ever called."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from benchmarks.hf.families import Family
from benchmarks.hf.tiny import tiny_model
from nkimoe.errors import RequestError
from nkimoe.hf.forward import experts_forward

COMPILE, EXPORT = "compile", "export"
AGREES, REFUSED, DIFFERS, FAILS, NO_GRAPH = "agrees", "refused", "DIFFERS", "FAILS", "no graph"
TRACED = "traced"


def graph_status(family: Family, how: str, prompt: Tensor, expected: Tensor) -> tuple[str, str]:
    """What became of a graph of the family, and why: "no graph" is that of a model that has none without its experts.

    prompt: int [1, n]; expected: what nkimoe gave for it, called eagerly; how: COMPILE or EXPORT.
    """
    try:
        _graph_logits(family, how, prompt, _nothing)
    except Exception as error:
        return NO_GRAPH, _reason(error)
    try:
        logits = _graph_logits(family, how, prompt, experts_forward)
    except Exception as error:
        is_refusal = any(isinstance(each, RequestError) for each in (error, error.__cause__, error.__context__))
        return (REFUSED if is_refusal else FAILS), _reason(error)
    return (AGREES if torch.allclose(logits, expected, rtol=1e-3, atol=1e-3) else DIFFERS), ""


def logits_of(output: Any) -> Tensor:
    """Of a causal model the logits, of others the last hidden state, in float32."""
    logits: Tensor = output.logits if "logits" in output else output.last_hidden_state
    return logits.float()


def inputs_of(model: Any, prompt: Tensor) -> dict[str, Any]:
    """Arguments of a call with a prompt."""
    embed = getattr(model, "codec_embedding", None)  # a model of sound tokens
    inputs = {"input_ids": prompt} if embed is None else {"inputs_embeds": embed(prompt).detach()}
    return {**inputs, "use_cache": False}


class _Logits(torch.nn.Module):
    """A model that gives its logits alone: some return a cache, which is nothing to export."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> Tensor:
        return logits_of(self.model(**inputs))


def _graph_logits(family: Family, how: str, prompt: Tensor, experts: Any) -> Tensor:
    model = tiny_model(family.model_class(), family.name, family.experts)
    ALL_EXPERTS_FUNCTIONS.register(TRACED, experts)
    model.set_experts_implementation(TRACED)
    inputs = inputs_of(model, prompt)
    torch.compiler.reset()
    with torch.no_grad():
        if how == COMPILE:
            run: Any = torch.compile(_Logits(model), backend="aot_eager", fullgraph=True)
        else:
            run = torch.export.export(_Logits(model), (), inputs).module()
        logits: Tensor = run(**inputs)
        return logits


def _nothing(module: Any, hidden_states: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    return hidden_states * weights.sum()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:160]
