"""The families of the installed transformers with `use_experts_implementation`, read from its sources."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

_EXPERTS = re.compile(r"^@use_experts_implementation.*\nclass (\w+)", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_ENDINGS = ("ForCausalLM", "TextModel", "Model")  # the smallest model that has the text layers, logits preferred
CHOSEN = {  # experts whose model the endings do not find
    "Qwen3OmniMoeTalkerTextExperts": "Qwen3OmniMoeTalkerModel",
    "DiffusionGemmaTextExperts": "DiffusionGemmaEncoderTextModel",
}


@dataclass(frozen=True)
class Family:
    """One class of experts: its folder in transformers, its name, and the model to try it in."""

    name: str
    experts: str
    model: str
    module: str

    def model_class(self) -> Any:
        return getattr(importlib.import_module(self.module), self.model)


def families() -> list[Family]:
    """All of them, by name."""
    folder = Path(transformers.__file__).parent / "models"
    found = []
    for file in sorted(folder.glob("*/modeling_*.py")):
        text = file.read_text(encoding="utf-8")
        for experts in _EXPERTS.findall(text):
            model = CHOSEN.get(experts) or _model(_CLASS.findall(text))
            found.append(
                Family(file.parent.name, experts, model, f"transformers.models.{file.parent.name}.{file.stem}")
            )
    return found


def _model(classes: list[str]) -> str:
    models = [name for name in classes if "PreTrained" not in name and "Vision" not in name]
    return next(name for ending in _ENDINGS for name in models if name.endswith(ending))
