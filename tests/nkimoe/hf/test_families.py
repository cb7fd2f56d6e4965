"""Whole models of transformers: eager against nkimoe."""

import sys
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")
sys.path.append(str(Path(__file__).resolve().parents[3]))  # `benchmarks` lies at the root

from benchmarks.hf import tiny  # noqa: E402
from benchmarks.hf.compare import AGREES, REFUSED, Comparison, compare  # noqa: E402
from benchmarks.hf.families import Family, families  # noqa: E402
from benchmarks.hf.graphs import COMPILE, EXPORT  # noqa: E402
from benchmarks.hf.page import page_lines  # noqa: E402

QUICK = ("GptOssExperts", "NemotronHExperts", "MuseSparkExperts", "Qwen3MoeExperts")


AS_GRAPHS = ("GptOssExperts", "Qwen3MoeExperts")
OTHER_GRAPHS = {
    "NemotronHExperts": (AGREES, AGREES),
    "DeepseekV4Experts": (AGREES, AGREES),  # a table says a token's experts
    "DiffusionGemmaTextExperts": (AGREES, AGREES),  # it returns a cache, too
    "Inkling2Experts": (REFUSED, REFUSED),
}


def outcome(family, with_graphs=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compare(family, with_graphs)


@pytest.mark.parametrize("family", [f for f in families() if f.experts in QUICK], ids=lambda f: f.name)
def test_a_model_with_nkimoe_gives_the_logits_of_eager(family):
    result = outcome(family)
    assert result.status == AGREES, result


@pytest.mark.parametrize("family", [f for f in families() if f.experts in AS_GRAPHS], ids=lambda f: f.name)
def test_a_model_that_was_never_called_compiles_and_exports_as_one_graph(family):
    result = outcome(family, with_graphs=True)
    assert result.graphs == {COMPILE: (AGREES, ""), EXPORT: (AGREES, "")}


@pytest.mark.slow
@pytest.mark.parametrize("family", [f for f in families() if f.experts in OTHER_GRAPHS], ids=lambda f: f.name)
def test_other_models_compile_and_export_or_say_why_not(family):
    result = outcome(family, with_graphs=True)
    assert tuple(status for status, _ in result.graphs.values()) == OTHER_GRAPHS[family.experts], result


@pytest.mark.slow
@pytest.mark.parametrize("family", [f for f in families() if f.experts == "DeepseekV4Experts"], ids=lambda f: f.name)
def test_a_graph_refuses_a_table_that_names_an_expert_twice_for_a_token(family, monkeypatch):
    monkeypatch.setattr(tiny, "TABLE", "no such buffer")  # then it is all zeros
    result = outcome(family, with_graphs=True)
    assert result.status == AGREES
    assert tuple(status for status, _ in result.graphs.values()) == (REFUSED, REFUSED), result


def test_the_page_has_a_row_for_each_class_of_experts_and_why_some_are_refused():
    rows = [
        Comparison(
            Family("a", "AExperts", "A", "m"),
            AGREES,
            1e-3,
            0.5,
            1.0,
            2,
            "",
            {COMPILE: (AGREES, ""), EXPORT: (AGREES, "")},
        ),
        Comparison(Family("b", "BExperts", "B", "m"), REFUSED, effect=0.5, reason="BExperts: has a gate."),
    ]
    lines = page_lines(rows)
    assert lines[0].endswith("2 classes of experts; agrees: 1, refused: 1.")
    assert "| a | `AExperts` | agrees | 1.0e-03 | 0.50 | agrees | agrees |" in lines
    assert "| b | `BExperts` | refused |  | 0.50 |  |  |" in lines
    assert lines[-1] == "* BExperts: has a gate."


@pytest.mark.slow
@pytest.mark.parametrize("family", [f for f in families() if f.experts not in QUICK], ids=lambda f: f.experts)
def test_every_family_agrees_or_is_refused_by_name(family):
    result = outcome(family)
    assert result.status in (AGREES, REFUSED), result
    assert result.status == AGREES or "_apply_gate, which is another" in result.reason
