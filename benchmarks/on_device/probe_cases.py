"""Probes as cases: one for each point."""

from __future__ import annotations

from collections.abc import Iterator

from on_device.case import Case, KernelCall
from on_device.probes import CHOICE_PROBES, LATENCY_PROBES, PROFILE_PROBES
from on_device.probes.probe import ChoiceProbe, Probe, ProfileProbe, Sizes


def probe_cases(target: str) -> Iterator[Case]:
    """All of the target."""
    for probe in LATENCY_PROBES.values():
        if target in probe.targets:
            for n, point in enumerate(probe.points):
                yield _case(point_case(probe, n), probe, point.sizes, probe.cores)
    for of_profile in PROFILE_PROBES.values():
        yield _case(profile_case(of_profile), of_profile, of_profile.sizes)
    for order in CHOICE_PROBES.values():
        for kind, sizes in (("free", order.free), ("held", order.held)):
            yield _case(choice_case(order, kind), order, sizes)


def point_case(probe: Probe, n: int) -> str:
    """The name of a point's case."""
    return f"probe.{_fit(probe.name)}.{n}"


def profile_case(probe: ProfileProbe) -> str:
    """The name of the case whose profile is read."""
    return f"profile.{_fit(probe.name)}"


def choice_case(probe: ChoiceProbe, kind: str) -> str:
    """The name of the case that may take less, "free", or of the one beside it, "held"."""
    return f"choice.{_fit(probe.name)}.{kind}"


def _fit(name: str) -> str:
    return name.replace(" ", "-")


def _case(name: str, probe: Probe | ProfileProbe | ChoiceProbe, sizes: Sizes, cores: int = 1) -> Case:
    def call() -> KernelCall:
        return KernelCall(probe.kernel, probe.inputs(sizes), dict(sizes))

    return Case(name, cores, call, call)
