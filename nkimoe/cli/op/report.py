# SPDX-License-Identifier: Apache-2.0
"""A result in the form of the peers' programs: their line, their keys, and what they do not say behind them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nkimoe import TOOLCHAIN
from nkimoe.cli.json_report import SCHEMA_VERSION
from nkimoe.cli.op.experiment import OpResult
from nkisim.report.origin import made_by
from nkisim.report.pictures import duration
from nkisim.report.text import describe_latency
from nkisim.timing import CLOCK


def as_lines(result: OpResult) -> list[str]:
    """The peer's line; what its time is; and if the result is wrong, by how much."""
    request, setup, predicted = result.request, result.setup, result.predicted
    verdict = {True: "y", False: "n", None: "skipped"}[result.passed]
    timing = request.timing(predicted.profile.latency_us, result.gb_per_sec(request.peer_bytes))
    wrong = [each for each in result.agreements or [] if not each.holds]
    return [
        f"{request.heading()}, {timing}, valid:{verdict}",
        f"predicted, not measured: {describe_latency(predicted.profile)} on {setup.lnc} {setup.target} core(s), "
        f"{100 * predicted.fraction_of_roofline:.2g}% of the roofline of {duration(predicted.roofline.latency_us)}; "
        f"toolchain {TOOLCHAIN}, clock {CLOCK}",
        *[f"wrong: {each}" for each in wrong],
    ]


def as_json(result: OpResult) -> dict[str, Any]:
    """The peer's keys in their order, then ours. Times in microseconds, but for the peer's `time`, milliseconds."""
    request, setup, us = result.request, result.setup, result.predicted.profile.latency_us
    rate = result.gb_per_sec(request.peer_bytes)
    return {
        "name": request.name,
        **request.peer_json(),
        "verification": {True: "pass", False: "fail", None: "skipped"}[result.passed],
        "perf": [{"time": us / 1e3, "tflops": result.predicted.tflops, "gbytes": rate}],
        "schema_version": SCHEMA_VERSION,
        "made_by": made_by(setup.seed),
        "toolchain": TOOLCHAIN,
        "target": setup.target,
        "lnc": setup.lnc,
        "options": asdict(request),
        "correct": {
            each.of.replace(" ", "_"): {"found": each.found, "allowed": each.allowed}
            for each in result.agreements or []
        },
        "predicted": result.predicted.as_json(),
        "nbytes": request.peer_bytes,
        "gb_per_sec": rate,
        "useful_nbytes": request.useful_bytes,
        "useful_gb_per_sec": result.gb_per_sec(request.useful_bytes),
        "findings": [str(finding) for finding in result.run.findings],
        "wall_s": result.wall_s,
    }
