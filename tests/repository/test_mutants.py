"""The catalogue of mistakes follows the code: each one can still be made, in one place."""

import pytest
from mutants.catalogue import MUTANTS, Mutant
from mutants.run import ROOT, mutate


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.file}: {m.mistake}")
def test_a_mistake_of_the_catalogue_can_be_made(mutant: Mutant) -> None:
    source = (ROOT / "nkimoe" / mutant.file).read_text(encoding="utf-8")
    changed = mutate(source, mutant)
    assert changed != source
    compile(changed, mutant.file, "exec")


def test_a_mistake_that_fits_nowhere_is_an_error() -> None:
    with pytest.raises(LookupError, match="occurs 0 times"):
        mutate("nothing", MUTANTS[0])
