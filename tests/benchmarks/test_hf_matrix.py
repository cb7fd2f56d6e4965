"""The matrix of Hugging Face families: names that are not there are not passed over."""

import click
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

from benchmarks.hf.compare import AGREES, Comparison
from benchmarks.hf_matrix import as_line, chosen_families


def test_a_folder_or_a_class_of_experts_names_families():
    assert [f.experts for f in chosen_families(("qwen3_moe", "GptOssExperts"))] == ["GptOssExperts", "Qwen3MoeExperts"]


def test_no_names_are_all_families():
    assert len(chosen_families(())) > 60


def test_a_name_that_is_none_is_refused_with_what_was_meant():
    with pytest.raises(click.UsageError, match=r"qwen3moe: no family .* Did you mean qwen3_moe"):
        chosen_families(("qwen3_moe", "qwen3moe"))


def test_a_row_says_what_became_of_each_graph_and_why():
    (family,) = chosen_families(("qwen3_moe",))
    row = Comparison(family, AGREES, graphs={"compile": (AGREES, ""), "export": ("no graph", "ValueError: of values")})
    assert as_line(row).endswith("agrees    no graph  export: ValueError: of values")
