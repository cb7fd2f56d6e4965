"""Whole models of transformers: eager against nkimoe."""

import sys
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")
sys.path.append(str(Path(__file__).resolve().parents[3]))  # `benchmarks` lies at the root

from benchmarks.hf.compare import AGREES, REFUSED, compare  # noqa: E402
from benchmarks.hf.families import families  # noqa: E402
from benchmarks.hf.graphs import COMPILE, EXPORT, NO_GRAPH  # noqa: E402

QUICK = ("GptOssExperts", "NemotronHExperts", "MuseSparkExperts", "Qwen3MoeExperts")


AS_GRAPHS = ("GptOssExperts", "Qwen3MoeExperts")
OTHER_GRAPHS = {
    "NemotronHExperts": (AGREES, AGREES),
    "DeepseekV4Experts": (REFUSED, REFUSED),  # its table of experts names one twice, which a graph cannot see
    "DiffusionGemmaTextExperts": (AGREES, NO_GRAPH),  # it returns a cache
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
@pytest.mark.parametrize("family", [f for f in families() if f.experts not in QUICK], ids=lambda f: f.experts)
def test_every_family_agrees_or_is_refused_by_name(family):
    result = outcome(family)
    assert result.status in (AGREES, REFUSED), result
    assert result.status == AGREES or "_apply_gate, which is another" in result.reason
