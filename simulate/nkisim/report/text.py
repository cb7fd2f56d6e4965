# SPDX-License-Identifier: Apache-2.0
"""A prediction as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nkisim.machine.probes import PROBES
from nkisim.observe import Finding
from nkisim.report.pictures import duration
from nkisim.report.prediction import MOST_LINES
from nkisim.report.summary import Profile

# What the parts of the critical path are, in words.
RESOURCE_NAMES = {
    "tensor": "Tensor Engine", "vector": "Vector Engine", "scalar": "Scalar Engine", "gpsimd": "GpSimd Engine",
    "dma": "DMA engines", "hbm": "HBM bandwidth", "dma_issue": "issuing transfers", "sync": "barriers and control",
    "latency": "fixed latencies",
}  # fmt: skip


def describe(profile: Profile) -> str:
    """Latency, engines, critical path, lines, traffic and memory of a run. Everything in it is predicted."""
    parts = (_headline, _engines, _path, _lines, _functions, _totals)
    tables = ["\n".join(part(profile)) for part in parts]
    return "\n\n".join(filter(None, tables))


def describe_run(profile: Profile, findings: Sequence[Finding]) -> str:
    """`describe`, or without the time model the counts; and each finding in a line."""
    about = describe_counts(profile) if profile.timer is None else describe(profile)
    return "\n".join([about, *map(str, findings)])


def describe_counts(profile: Profile) -> str:
    """Instructions and traffic in one line, without predicting anything."""
    return (
        f"{sum(profile.instructions.values()):,} instructions, "
        f"HBM {profile.hbm_read / 1e6:,.2f} MB read, {profile.hbm_written / 1e6:,.2f} MB written"
    )


def describe_path(profile: Profile) -> str:
    """The parts of the critical path in one line, without those under one percent."""
    total = profile.latency_us or 1.0
    parts = [(name, us / total) for name, us in profile.prediction.critical_path_us.items()]
    return ", ".join(f"{RESOURCE_NAMES[name]} {100 * share:.0f}%" for name, share in parts if share >= 0.01)


def describe_constants(profile: Profile) -> str:
    """How well the constants behind the latency are known."""
    return ", ".join(f"{100 * share:.0f}% {name}" for name, share in profile.provenance.items())


def describe_latency(profile: Profile) -> str:
    """The predicted latency and its interval, as `736 us (610 to 1,240)`."""
    nominal, low, high = _alike(profile.latency_us, *profile.interval_us)
    return f"{nominal} us ({low} to {high})"


def describe_orders(profile: Profile) -> str:
    """The latency in each order, in one line."""
    bounds = profile.forecast
    written, *compiled = _alike(bounds.by_order["program"] / 1e3, *(ns / 1e3 for ns in bounds.by_look_ahead.values()))
    ahead = ", ".join(f"{distance} ahead {us}" for distance, us in zip(bounds.by_look_ahead, compiled, strict=True))
    return f"as written {written} us, as a compiler orders it, looking {ahead} us"


def _alike(*microseconds: float) -> list[str]:
    """With as many digits as the first one needs."""
    return [f"{us:,.{0 if microseconds[0] >= 100 else 1}f}" for us in microseconds]


def describe_sensitivity(profile: Profile, most: int = 12) -> str:
    """What the prediction hangs on, and what would settle it."""
    rows = [f"{'leverage':>10}  {'fast end':>10}  {'slow end':>10}  constant: what would settle it"]
    for each in profile.sensitivity[:most]:
        settled = PROBES.get(each.name, "")
        rows.append(
            f"{duration(each.ns / 1e3):>10}  {duration(each.fast_ns / 1e3):>10}  {duration(each.slow_ns / 1e3):>10}  "
            f"{each.name}{': ' if settled else ''}{settled}"
        )
    return "\n".join(rows)


def describe_changes(base_us: float, changes: Mapping[str, float]) -> str:
    """A table of what-if latencies beside the base.

    Args:
        changes: predicted microseconds by change.
    """
    width = max(len(name) for name in ("as it is", *changes))
    rows = [f"{'as it is':{width}}  {duration(base_us):>10}"]
    for name, us in changes.items():
        rows.append(f"{name:{width}}  {duration(us):>10}  {100 * (us / base_us - 1):+6.1f}%")
    return "\n".join(["predicted latency", *rows])


def describe_headline(profile: Profile) -> str:
    """Latency with its interval, cores, and what bounds it."""
    timeline = profile.prediction.timeline
    cores = f"{timeline.cores} {timeline.machine.name} core" + "s" * (timeline.cores > 1)
    bound = RESOURCE_NAMES.get(profile.bound_by, "nothing")
    return f"{describe_latency(profile)} predicted on {cores}, bound by: {bound}. Nothing here is measured."


def _headline(profile: Profile) -> Iterator[str]:
    yield describe_headline(profile)
    yield describe_orders(profile)


def _engines(profile: Profile) -> Iterator[str]:
    yield f"{'engine':8} {'busy':>10} {'share':>6} {'instructions':>13}"
    for name, use in profile.engines.items():
        yield f"{name:8} {duration(use.busy_us):>10} {100 * use.utilization:5.0f}% {use.instructions:13,}"


def _path(profile: Profile) -> Iterator[str]:
    yield f"critical path: {describe_path(profile)}"
    yield f"constants: {describe_constants(profile)}"


def _lines(profile: Profile) -> Iterator[str]:
    yield f"{'critical':>10} {'share':>6} {'busy':>10} {'count':>8}  line"
    for line in profile.lines:
        share = 1e-3 * line.critical_ns / profile.latency_us if profile.latency_us else 0.0
        yield (
            f"{duration(line.critical_ns / 1e3):>10} {100 * share:5.1f}% {duration(line.busy_ns / 1e3):>10} "
            f"{line.instructions:8,}  {line.location} {', '.join(line.opcodes)}"
        )


def _functions(profile: Profile) -> Iterator[str]:
    """Of kernels with more than one function, those that cost most."""
    functions = profile.prediction.functions
    if len(functions) < 2:
        return
    yield f"{'critical':>10} {'share':>6} {'own':>10} {'count':>8}  function, with all that it calls"
    for each in functions[:MOST_LINES]:
        share = 1e-3 * each.total.critical_ns / profile.latency_us if profile.latency_us else 0.0
        yield (
            f"{duration(each.total.critical_ns / 1e3):>10} {100 * share:5.1f}% "
            f"{duration(each.own.critical_ns / 1e3):>10} {each.total.instructions:8,}  {each.stage}"
        )


def _totals(profile: Profile) -> Iterator[str]:
    read, written = profile.hbm_read, profile.hbm_written
    rate = (read + written) / profile.latency_us / 1e3 if profile.latency_us else 0.0
    yield f"HBM: {read / 1e6:,.2f} MB read, {written / 1e6:,.2f} MB written, {rate:.0f} GB/s"
    if profile.macs:
        tflops = 2 * profile.macs / profile.latency_us / 1e6
        yield f"PE: {2 * profile.macs / 1e9:,.3f} GFLOP executed, {tflops:.3g} TFLOP/s"
    yield f"on chip: SBUF peak {profile.sbuf_peak_bytes:,} bytes a partition, PSUM peak {profile.psum_peak_banks} banks"
