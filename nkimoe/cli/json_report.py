"""A result for scripts. Keys are stable; what the time model will fill in is null until it exists."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nkimoe import TOOLCHAIN
from nkimoe.cli.experiment import Result

SCHEMA_VERSION = 1


def as_json(result: Result) -> dict[str, Any]:
    """The documented keys. Sizes in bytes, times in microseconds unless the key says otherwise."""
    setup, p, profile = result.setup, result.plan.problem, result.run.profile
    return {
        "schema_version": SCHEMA_VERSION,
        "toolchain": TOOLCHAIN,
        "target": setup.target,
        "lnc": setup.lnc,
        "variant": setup.variant,
        "problem": {"T": p.T, "H": p.H, "E": p.E, "I": p.I, "K": setup.layer_model.K, "B": p.B, "N": p.N},
        "weights": setup.weights,
        "correct": {
            "rel_l2": result.distance.rel_l2,
            "max_abs": result.distance.max_abs,
            "tolerance": result.tolerance.rel_l2,
            "passed": result.passed,
        },
        "predicted": {
            "latency_us": None,
            "roofline_us": result.roofline.latency_us,
            "fraction_of_roofline": None,
            "bound_by": None,
            "tflops": None,
            "mfu": None,
            "hbm_bytes": {"read": profile.hbm_read, "written": profile.hbm_written},
            "engines": {
                name: {"busy_us": None, "utilization": None, "instructions": count}
                for name, count in sorted(profile.instructions.items())
            },
            "sbuf_peak_bytes_per_partition": profile.sbuf_peak_bytes,
            "psum_peak_banks": profile.psum_peak_banks,
            "provenance": {"documented": None, "derived": None, "assumed": None},
        },
        "findings": [str(finding) for finding in result.run.findings],
        "wall_s": result.wall_s,
    }


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write under a temporary name, then rename: a killed run leaves no half file. Links stay links."""
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
