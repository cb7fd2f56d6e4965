# SPDX-License-Identifier: Apache-2.0
"""A result for people, as text."""

from __future__ import annotations

from nkimoe.cli.experiment import Result, Setup
from nkimoe.cli.packed_data import BF16, INT8
from nkisim.report.page import Subject
from nkisim.report.pictures import duration
from nkisim.report.tables import labelled
from nkisim.report.text import describe_constants, describe_latency, describe_orders, describe_path


def as_lines(result: Result, width: int) -> list[str]:
    """Shape, blocks, verdict, instructions, traffic, memory and time, wrapped at `width` columns."""
    return labelled(_rows(result), width)


def subject_of(result: Result) -> Subject:
    """What a page of the run is about."""
    setup, facts = result.setup, ("layer", "tokens", "kernel", "blocks", "result", "transformers", "roofline")
    title = f"moe_cte {setup.implementation.name}: {setup.model}, {result.plan.problem.T} tokens"
    rows = [(name, text) for name, text in _rows(result) if name in facts]
    return Subject(title, rows, result.roofline.work, result.roofline.peaks)


def _rows(result: Result) -> list[tuple[str, str]]:
    setup, p, profile = result.setup, result.plan.problem, result.run.profile
    bound, predicted = result.roofline, result.predicted
    engines = ", ".join(f"{name} {count:,}" for name, count in sorted(profile.instructions.items()))
    busy = ", ".join(f"{name} {100 * use.utilization:.0f}%" for name, use in profile.engines.items())
    return [
        ("layer", f"{setup.model}, {_ranks(setup)}: H={p.H} I={p.I} E={p.E} top-{setup.layer_model.K}"),
        ("tokens", f"{p.T}, {result.data.vocabulary} distinct; {_skew(result)}"),
        (
            "kernel",
            f"moe_cte {setup.implementation.name} on {setup.lnc} simulated {setup.target} core(s), "
            f"weights {setup.weights}, activations {setup.activations}{_as_stored(setup)}",
        ),
        ("blocks", _blocks(result)),
        ("result", _verdict(result)),
        *_transformers(result),
        ("instructions", engines),
        (
            "HBM",
            f"read {_mb(profile.hbm_read)}, written {_mb(profile.hbm_written)}; must move {_mb(bound.work.nbytes)}",
        ),
        ("PE", f"{profile.macs * 2 / 1e9:.1f} GFLOP issued, {bound.work.flops / 1e9:.1f} useful"),
        (
            "on chip",
            f"SBUF peak {profile.sbuf_peak_bytes:,} of {result.plan.target.sbuf_bytes:,} bytes a partition, "
            f"PSUM peak {profile.psum_peak_banks} of 8 banks",
        ),
        (
            "roofline",
            f"{duration(bound.latency_us)}, bound by {bound.bound_by}: the least the layer takes on {_cores(result)}",
        ),
        (
            "predicted",
            f"{describe_latency(profile)}, {100 * predicted.fraction_of_roofline:.0f}% of the roofline; "
            f"{predicted.tflops:.1f} useful TFLOP/s, {100 * predicted.mfu:.0f}% of the peak. "
            "A model's word, not measured",
        ),
        *_beside_even(result),
        ("orders", describe_orders(profile)),
        ("busy", f"{busy} (predicted, mean of the cores)"),
        ("critical path", describe_path(profile)),
        ("constants", f"{describe_constants(profile)}: what the predicted time rests on"),
        ("wall time", f"{result.wall_s:.1f} s on this computer ({result.run.wall_s:.1f} s simulating)"),
    ]


def _ranks(setup: Setup) -> str:
    return f"tensor parallel {setup.tp}" + (f", expert parallel {setup.ep}" if setup.ep > 1 else "")


def _verdict(result: Result) -> str:
    error, tolerance = result.distance, result.tolerance
    if error is None:
        return "not computed: shapes and time only"
    return (
        f"{'passed' if result.passed else 'FAILED'}: relative L2 {error.rel_l2:.2e} (at most {tolerance.rel_l2:.1e}), "
        f"worst row {error.worst_row:.2e} (at most {tolerance.worst_row:.1e}), "
        f"max {error.max_abs:.3g}, all against {_reference(result)}"
    )


def _transformers(result: Result) -> list[tuple[str, str]]:
    error = result.distance_to_theirs
    if error is None:
        return []
    own = "its own experts"
    if result.setup.weights != BF16:
        own += ", with the checkpoint's weights and plain activations"
    return [("transformers", f"relative L2 {error.rel_l2:.2e}, max {error.max_abs:.3g} from {own}")]


def _beside_even(result: Result) -> list[tuple[str, str]]:
    """What the skew of a given routing costs."""
    even, profile, load = result.evenly, result.run.profile, result.data.load
    if even is None:
        return []
    return [
        (
            "skew",
            f"busiest of all experts {load.busiest_over_mean:.1f} times the mean; uniform routing is predicted "
            f"{duration(even.latency_us)}, this one {profile.latency_us / even.latency_us:.2f} times that; "
            f"HBM {_mb(profile.hbm_read + profile.hbm_written)} for {_mb(even.hbm_read + even.hbm_written)}",
        )
    ]


def _reference(result: Result) -> str:
    if result.unquantised is None:
        return "the fp32 reference"
    return f"fp32 with activations quantised likewise; relative L2 {result.unquantised.rel_l2:.2e} against unquantised"


def _as_stored(setup: Setup) -> str:
    """What a checkpoint in int8 has that the run has not."""
    stored = None if setup.checkpoint is None else setup.checkpoint.int8
    if stored is None or setup.weights == INT8:
        return ""
    activations = "not quantised" if stored.activation_quantization is None else INT8
    return f"; dequantised: the checkpoint's weights are int8, its activations {activations} (--weights int8)"


def _cores(result: Result) -> str:
    return f"{result.setup.lnc} {result.setup.target} core(s)"


def _blocks(result: Result) -> str:
    mapping, p = result.data.mapping, result.plan.problem
    return (
        f"{p.N} blocks of {p.B} slots, {mapping.n_real_blocks} of them hold tokens; "
        f"{100 * mapping.fill:.0f}% of all slots filled; weights {result.plan.weights}"
    )


def _skew(result: Result) -> str:
    load, ep = result.data.own_load, result.setup.ep
    counts = load.pairs
    text = f"{load.used} of {counts.size} experts used, the busiest by {counts.max()} tokens, mean {counts.mean():.0f}"
    ranks = result.data.load.of_ranks(ep)
    return text if ep == 1 else f"{text}; rank {ranks.busiest} has {ranks.busiest_over_mean:.2f} times a mean rank's"


def _mb(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"
