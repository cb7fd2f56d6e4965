"""The table of numerics: every variant finds its stages there, and its projections are streams."""

import inspect

import pytest

from nkimoe.kernels.block_program import PROGRAMS
from nkimoe.kernels.numerics import STAGES, AnyStages
from nkimoe.planning.variants import INT8, VARIANTS


def test_every_numerics_of_the_variants_has_its_stages() -> None:
    assert {*(variant.numerics for variant in VARIANTS.values()), INT8} == STAGES.keys() == PROGRAMS.keys()


@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES.keys())
def test_calling_a_projection_issues_no_instruction(stages: AnyStages) -> None:
    assert inspect.isgeneratorfunction(stages.gate_up_products)
    assert inspect.isgeneratorfunction(stages.down_products)
