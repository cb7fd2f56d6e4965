# SPDX-License-Identifier: Apache-2.0
"""A result for scripts. Keys are stable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nkimoe import TOOLCHAIN
from nkimoe.cli.experiment import Result
from nkimoe.cli.layer_data import SEED
from nkisim.report.files import write_whole
from nkisim.report.origin import made_by

SCHEMA_VERSION = 1


def as_json(result: Result, changes: Mapping[str, float]) -> dict[str, Any]:
    """The documented keys. Sizes in bytes, times in microseconds unless the key says otherwise.

    Args:
        changes: predicted latency by what-if.
    """
    setup, p = result.setup, result.plan.problem
    error, theirs = result.distance, result.distance_to_theirs
    return {
        "schema_version": SCHEMA_VERSION,
        "made_by": made_by(SEED),
        "toolchain": TOOLCHAIN,
        "target": setup.target,
        "lnc": setup.lnc,
        "variant": setup.variant,
        "model": {"name": setup.model, "tp": setup.tp, "layer": setup.checkpoint.layer if setup.checkpoint else None},
        "slots": setup.slots,
        "numerics": setup.numerics,
        "problem": {"T": p.T, "H": p.H, "E": p.E, "I": p.I, "K": setup.layer_model.K, "B": p.B, "N": p.N},
        "weights": setup.weights,
        "activations": setup.activations,
        "correct": {
            "rel_l2": error.rel_l2 if error else None,
            "max_abs": error.max_abs if error else None,
            "rel_l2_unquantised": result.unquantised.rel_l2 if result.unquantised else None,
            "tolerance": result.tolerance.rel_l2,
            "passed": result.passed,
            **({"transformers_rel_l2": theirs.rel_l2} if theirs else {}),
        },
        "predicted": result.predicted.as_json(),
        "what_if_us": dict(changes),
        **_routing(result),
        "findings": [str(finding) for finding in result.run.findings],
        "wall_s": result.wall_s,
    }


def _routing(result: Result) -> dict[str, Any]:
    """Of a routing that was given: its name, its skew, and the prediction for a uniform one, if it is another."""
    setup, load = result.setup, result.data.load
    if setup.routing is None:
        return {}
    keys = {
        "name": setup.routing.name,
        "busiest_expert_over_mean": load.busiest_over_mean,
        "busiest_rank_over_mean": load.of_ranks(setup.ep).busiest_over_mean,
        "uniform_us": result.evenly.latency_us if result.evenly else None,
    }
    return {"routing": keys}


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write under a temporary name, then rename: a killed run leaves no half file. Links stay links."""
    write_whole(path, json.dumps(document, indent=2) + "\n")
