"""The progress of a simulation reaches its end, whichever loops the kernel has."""

import pytest

from nkimoe.cli.experiment import Progress, Setup, run_experiment
from nkimoe.models import MODELS, Model
from nkimoe.routing import RoutingRule

SMALL = Model(H=256, I=64, E=5, routing=RoutingRule(2), source="made up")


@pytest.mark.parametrize("block_size", [64, 200])
@pytest.mark.parametrize("lnc", [1, 2])
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
def test_as_many_tiles_are_done_as_were_announced(
    monkeypatch: pytest.MonkeyPatch, variant: str, lnc: int, block_size: int
) -> None:
    monkeypatch.setitem(MODELS, "olmoe-1b-7b", SMALL)
    announced: dict[str, int] = {}
    done: dict[str, int] = {}

    def start(name: str, total: int) -> None:
        announced[name], done[name] = total, 0

    def step() -> None:
        done[list(done)[-1]] += 1

    text = "many words of one text, many of them twice " * 20
    run_experiment(
        Setup(
            "olmoe-1b-7b", tp=1, tokens=150, variant=variant, target="trn2", lnc=lnc, block_size=block_size,
            weights="bf16", text=text, numerics=False,
        ),
        Progress(start, step),
    )  # fmt: skip
    assert announced["simulate tiles"] == done["simulate tiles"] > 0
