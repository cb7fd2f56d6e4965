"""Programs that hypothesis makes up."""

from __future__ import annotations

from hypothesis import strategies as st

from nkisim.timing.task import AFTER_ISSUE, AFTER_RESULT
from support.programs import HandProgram, cost, moved

QUEUES = ("tensor", "vector", "scalar", "gpsimd", "dma", "dge sync", "gpsimd dma")


@st.composite
def programs(draw):
    """Small programs of two cores: dependencies within an epoch, drains, barriers, `no_reorder`."""
    made, epoch, members, met = HandProgram(), [0, 0], ([], []), 0
    for _ in range(draw(st.integers(1, 30))):
        what = draw(st.sampled_from(["task"] * 8 + ["drain", "meeting"]))
        core = draw(st.integers(0, 1))
        if what == "drain":
            if members[core]:
                made.drain(core)
                epoch[core] += 1
                members[core].clear()
            continue
        for of in (0, 1) if what == "meeting" else (core,):
            queue = draw(st.sampled_from(("gpsimd", "vector") if what == "meeting" else QUEUES))
            duration = draw(st.sampled_from([1.0, 10.0, 300.0]))
            is_transfer = queue in ("dma", "dge sync", "gpsimd dma")
            table = draw(st.sampled_from([None, "exp", "tanh"])) if queue == "scalar" else None
            number = made.add(
                queue.partition(" dma")[0],
                moved(duration) if is_transfer else cost(duration, 2 * duration, load=5.0, table=table),
                draw(st.lists(st.sampled_from(members[of]), max_size=3, unique=True)) if members[of] else (),
                kind=draw(st.sampled_from([AFTER_RESULT, AFTER_ISSUE])), core=of, epoch=epoch[of],
                meeting=met if what == "meeting" else -1, ordered=draw(st.booleans()),
            )  # fmt: skip
            members[of].append(number)
        met += what == "meeting"
    return made
