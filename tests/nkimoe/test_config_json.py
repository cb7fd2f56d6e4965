"""Sizes of layers from config.json files of model families."""

import json
from pathlib import Path
from typing import Any

import pytest

from nkimoe.config_json import ACTIVATIONS, model_of_config
from nkimoe.errors import InputError
from nkimoe.models import MODELS
from nkimoe.spec import ActFnType

QWEN = {"hidden_size": 96, "intermediate_size": 64, "moe_intermediate_size": 80, "num_experts": 6,
        "num_experts_per_tok": 2, "hidden_act": "silu"}  # fmt: skip

MIXTRAL = {"hidden_size": 96, "intermediate_size": 64, "num_local_experts": 6, "num_experts_per_tok": 2}


def written(folder: Path, config: Any) -> Path:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (QWEN, (96, 80, 6, 2)),
        (
            {"hidden_size": 96, "intermediate_size": 64, "num_local_experts": 6, "num_experts_per_tok": 2},
            (96, 64, 6, 2),
        ),
        ({**QWEN, "num_experts": None, "n_routed_experts": 8, "num_experts_per_tok": 3}, (96, 80, 8, 3)),
        ({"text_config": QWEN, "hidden_size": 7}, (96, 80, 6, 2)),
    ],
)
def test_each_family_has_its_names_of_the_sizes(tmp_path: Path, config: dict[str, Any], sizes: tuple[int, ...]) -> None:
    model = model_of_config(written(tmp_path, config))
    assert sizes == (model.H, model.I, model.E, model.K)
    assert sizes[2] == model_of_config(tmp_path / "config.json").E


def test_a_published_layer_has_its_row_of_the_table(tmp_path: Path) -> None:
    config = {"hidden_size": 2880, "intermediate_size": 2880, "num_local_experts": 32, "num_experts_per_tok": 4}
    assert model_of_config(written(tmp_path, config)) == MODELS["gpt-oss-20b"]


@pytest.mark.parametrize(
    ("name", "activation"),
    [("gelu", ActFnType.GELU), ("quick_gelu", ActFnType.Swish), ("relu2", ActFnType.SquaredReLU)],
)
def test_the_activation_is_that_of_the_file(tmp_path: Path, name: str, activation: ActFnType) -> None:
    assert model_of_config(written(tmp_path, {**QWEN, "hidden_act": name})).activation is activation


def test_every_activation_has_a_name_in_configuration_files() -> None:
    assert set(ACTIVATIONS.values()) == set(ActFnType)


@pytest.mark.parametrize("family", ["Qwen3Moe", "Mixtral", "Olmoe", "GptOss", "DeepseekV3"])
def test_what_transformers_writes_is_read(tmp_path: Path, family: str) -> None:
    transformers = pytest.importorskip("transformers", minversion="5")
    from support.saved_models import FAMILIES, SIZES

    getattr(transformers, f"{family}Config")(**SIZES | FAMILIES[family]).save_pretrained(tmp_path)
    asked = SIZES | FAMILIES[family]
    experts = next(asked[name] for name in ("num_experts", "num_local_experts", "n_routed_experts") if name in asked)
    model = model_of_config(tmp_path)
    columns = asked.get("moe_intermediate_size", asked["intermediate_size"])
    assert (96, columns, experts, asked["num_experts_per_tok"]) == (model.H, model.I, model.E, model.K)


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[1]",
        {},
        {name: value for name, value in QWEN.items() if name != "num_experts"},
        {**QWEN, "num_experts_per_tok": 0},
        {**QWEN, "hidden_act": "mish"},
    ],
)
def test_a_file_that_describes_no_layer_is_refused(tmp_path: Path, config: Any) -> None:
    with pytest.raises(InputError):
        model_of_config(written(tmp_path, config))
