"""The coefficients of auto name the clock whose predictions they hold for: new rules may leave them stale."""

import json
from pathlib import Path

import pytest

from nkimoe.choosing import cost
from nkisim.timing import CLOCK

COEFFICIENTS = Path(cost.__file__).parent / cost.FILE
FIT_AGAIN = (
    "Hold predictions of nkimoe against those before (make fingerprints). If some changed, "
    "`python benchmarks/fit_cost.py` fits again; if none did, the file's clock is raised by hand."
)


def version(clock: str) -> tuple[str, ...]:
    """major.minor: what follows changes no rule."""
    return tuple(clock.split(".")[:2])


def stale(fitted: str, clock: str) -> str:
    """What to do about coefficients of that clock; "" if they are up to date."""
    told = f"{cost.FILE} holds for predictions of clock {fitted}, and the clock is {clock}. {FIT_AGAIN}"
    return "" if version(fitted) == version(clock) else told


def test_the_coefficients_of_auto_are_of_the_clock_that_predicts() -> None:
    said = stale(json.loads(COEFFICIENTS.read_text("utf-8"))["clock"], CLOCK)
    assert not said, said


@pytest.mark.parametrize(
    ("fitted", "clock", "said"),
    [("2.1", "2.1", ""), ("2.1", "2.1.3", ""), ("2.1", "2.2", "fits again"), ("2.1", "3.1", "fits again")],
)
def test_a_clock_that_moved_on_is_told_with_the_command_to_fit_again(fitted: str, clock: str, said: str) -> None:
    assert said in stale(fitted, clock)
    assert bool(stale(fitted, clock)) is bool(said)
