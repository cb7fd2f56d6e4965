"""One family: eager against nkimoe, and how much the experts matter to the result at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from benchmarks.hf.families import Family
from benchmarks.hf.graphs import COMPILE, EXPORT, graph_status, inputs_of, logits_of
from benchmarks.hf.tiny import VOCABULARY, tiny_model
from nkimoe.errors import RequestError
from nkimoe.hf.forward import experts_forward

TOKENS, PROMPTS, LARGEST_ERROR, SMALLEST_EFFECT = 8, 32, 2e-2, 0.05
DISTURBANCE, TRIALS, TRIED = 0.02, 3, "tried"
AGREES, REFUSED, DIFFERS, INCONCLUSIVE, NOT_RUN = "agrees", "refused", "DIFFERS", "INCONCLUSIVE", "not run"


@dataclass(frozen=True)
class Comparison:
    """What became of one family.

    Attributes:
        error: largest difference from eager, over the range of eager's logits.
        effect: the same, if the experts were left out; an error is only meaningful if this is large.
        argmax: share of positions with the same best logit.
        calls: times the kernel ran.
        status: "agrees", "refused", "DIFFERS", "INCONCLUSIVE", or "not run": the model fails with eager experts too.
        reason: of a refusal or failure.
        graphs: by `COMPILE` and `EXPORT`, what became of a graph of a model that was never called, and why.
    """

    family: Family
    status: str
    error: float = float("nan")
    effect: float = float("nan")
    argmax: float = float("nan")
    calls: int = 0
    reason: str = ""
    graphs: dict[str, tuple[str, str]] = field(default_factory=dict)


def compare(family: Family, with_graphs: bool = False) -> Comparison:
    """Run a prompt three times: eager, without experts, and with nkimoe; and as graphs, if asked to."""
    try:
        model = tiny_model(family.model_class(), family.name, family.experts)
        prompt = decided_prompt(model)
        expected = _logits(model, prompt, quiet := Recorder(_eager))
        without = _logits(model, prompt, Recorder(lambda module, x, ids, weights: torch.zeros_like(x)))
    except Exception as error:
        return Comparison(family, NOT_RUN, reason=f"eager fails: {type(error).__name__}: {str(error)[:200]}")
    kernel = Recorder(experts_forward)
    hows = (COMPILE, EXPORT) if with_graphs else ()
    try:
        actual = _logits(model, prompt, kernel)
    except RequestError as error:
        graphs = {how: graph_status(family, how, prompt, expected) for how in hows}
        return Comparison(family, REFUSED, effect=_error(without, expected), reason=str(error), graphs=graphs)
    error, effect = _error(actual, expected), _error(without, expected)
    argmax = (actual.argmax(-1) == expected.argmax(-1)).float().mean().item()
    elsewhere = sum(int((a != b).sum()) for a, b in zip(quiet.ids, kernel.ids, strict=True))
    reason = f"{elsewhere} choices of the routers differ" if elsewhere else ""
    graphs = {how: graph_status(family, how, prompt, actual) for how in hows}
    return Comparison(
        family, _status(error, effect, argmax, len(kernel.ids)), error, effect, argmax, len(kernel.ids), reason, graphs
    )


class Recorder:
    """Experts that note which ids they were called with."""

    def __init__(self, experts: Callable[..., Tensor]) -> None:
        self.experts = experts
        self.ids: list[Tensor] = []

    def __call__(self, module: Any, x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        self.ids.append(ids.sort(dim=-1).values)
        return self.experts(module, x, ids, weights)


def _eager(module: Any, *arguments: Tensor) -> Tensor:
    result: Tensor = type(module).forward.__wrapped__(module, *arguments)
    return result


def _disturbed(module: Any, *arguments: Tensor) -> Tensor:
    result = _eager(module, *arguments)
    return result + DISTURBANCE * result.std() * torch.randn(result.shape)


def decided_prompt(model: Any) -> Tensor:
    """Of some random prompts one that rounding does not tip over.

    A random model often has two nearly equal routing scores or best logits, which any rounding may swap. Prompts where
    a disturbance of the experts, larger than the kernel's rounding, makes the routers of eager choose otherwise are
    left out; of the rest the one is taken whose best logits lead the most. Neither looks at nkimoe.
    """
    prompts = torch.randint(1, VOCABULARY, (PROMPTS, TOKENS), generator=torch.Generator().manual_seed(0))
    leads = [_lead(model, prompt[None]) for prompt in prompts]
    return prompts[max(range(PROMPTS), key=leads.__getitem__)][None]


def _lead(model: Any, prompt: Tensor) -> float:
    """How far the best logit leads where it leads least; -1 if a disturbance changes the routing."""
    quiet = Recorder(_eager)
    best = _logits(model, prompt, quiet).topk(2).values
    for trial in range(TRIALS):
        torch.manual_seed(trial)
        disturbed = Recorder(_disturbed)
        _logits(model, prompt, disturbed)
        if not all(map(torch.equal, quiet.ids, disturbed.ids)):
            return -1.0
    return float((best[..., 0] - best[..., 1]).min())


def _logits(model: Any, prompt: Tensor, experts: Recorder) -> Tensor:
    ALL_EXPERTS_FUNCTIONS.register(TRIED, experts)
    model.set_experts_implementation(TRIED)
    with torch.no_grad():
        return logits_of(model(**inputs_of(model, prompt)))


def _error(actual: Tensor, expected: Tensor) -> float:
    spread = expected.max() - expected.min()
    return float((actual - expected).abs().max() / spread)


def _status(error: float, effect: float, argmax: float, calls: int) -> str:
    if not (calls and effect >= SMALLEST_EFFECT):
        return INCONCLUSIVE
    return AGREES if error <= min(LARGEST_ERROR, effect / 5) and argmax == 1 else DIFFERS
