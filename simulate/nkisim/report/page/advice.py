# SPDX-License-Identifier: Apache-2.0
"""What to change first: for each resource of the critical path, what helps, where, and what it would gain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nkisim.errors import Location
from nkisim.report.summary import Profile

LEAST_SHARE, MOST_LINES = 0.03, 3
HALF = 0.5

# By resource of the critical path: what helps, and the constants that halve its cost (rates and clocks double).
HELP: dict[str, tuple[str, tuple[str, ...]]] = {
    "tensor": ("Fill the PE: 128 rows and 128 stationary columns, moving tiles as wide as a PSUM bank, low precision.",
               ("pe_clock",)),
    "vector": ("Move work to the Scalar or GpSimd Engine, fuse operations, work on wider tiles or in 16 bits.",
               ("dve_clock",)),
    "scalar": ("Fuse scale and bias into activations, keep functions of one table together, move copies elsewhere.",
               ("act_clock",)),
    "gpsimd": ("Move work to the Vector or Scalar Engine; let hardware make descriptors of transfers.",
               ("pool_clock",)),
    "dma": ("Move fewer bytes or in longer rows, keep what is used again on chip, spread over more queues.",
            ("dma", "dma.descriptor", "dma.indexed_descriptor")),
    "hbm": ("Read and write HBM less: keep what is used again on chip, quantise weights.", ("hbm",)),
    "dma_issue": ("Issue fewer and larger transfers, from several queues.",
                  ("dma.issue_static", "dma.issue_hwdge", "dma.issue_swdge")),
    "sync": ("Fewer barriers, registers and turns of device loops; unroll short loops.",
             ("sync.semaphore", "sync.barrier", "sync.loop_turn", "sync.register_load")),
    "latency": ("Start transfers earlier and keep more of them under way: more buffers, loads ahead of their use.",
                ("dma_latency",)),
}  # fmt: skip
_RATES = ("_clock",)
_DOUBLED = ("dma", "hbm")


@dataclass(frozen=True)
class Advice:
    """One thing to change.

    Attributes:
        resource: of the critical path; share: its part of the latency.
        text: what helps; lines: where that part comes from, most first.
        gain_us: what the latency loses if the resource costs half.
    """

    resource: str
    share: float
    text: str
    lines: list[Location]
    gain_us: float


def advise(profile: Profile) -> list[Advice]:
    """Advice for the resources with more than 3 % of the critical path, the largest gain first; a schedule for each."""
    latency, found = profile.latency_us, []
    for resource, us in profile.prediction.critical_path_us.items():
        if us < LEAST_SHARE * latency:
            continue
        text, _ = HELP[resource]
        gain = latency - profile.what_if(halved(resource)).latency_us
        found.append(Advice(resource, us / latency, text, _lines(profile, resource), gain))
    return sorted(found, key=lambda advice: -advice.gain_us)


def halved(resource: str) -> dict[str, float]:
    """The factors of constants with which a resource costs half, as `Profile.what_if` takes them."""
    return {name: _factor(name) for name in HELP[resource][1]}


def _factor(name: str) -> float:
    """What halves the time: of a rate or clock 2, of a duration a half."""
    return 1 / HALF if name.endswith(_RATES) or name in _DOUBLED else HALF


def _lines(profile: Profile, resource: str) -> list[Location]:
    path, total = profile.prediction.path, Counter[Location]()
    for step in path.steps:
        where = profile.prediction.timeline.tasks[step.task].location
        total[where] += round(sum(piece.duration.ns for piece in step.pieces if piece.resource == resource))
    return [line for line, ns in total.most_common(MOST_LINES) if ns]
