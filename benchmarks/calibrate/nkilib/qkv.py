"""qkv_tkg: the projection to queries, keys and values in decoding."""

from __future__ import annotations

import importlib

from calibrate.cases import Case, Work, exactly
from calibrate.nkilib.job import HERE, TESTS, Configuration, Stated, stated
from calibrate.readings import LATENCY

KERNEL = "qkv_tkg"


def works() -> list[Work]:
    """One for each configuration. Of the pairs of numbers beside them one is given, taken as the latency."""
    module = importlib.import_module(f"{TESTS}.qkv.test_qkv_tkg")
    return [_work(row) for row in stated(module.TestQkvTkgKernel)]


def _work(row: Stated) -> Work:
    values = row.values
    case = Case(
        KERNEL, KERNEL, _name(values), f"nki-library, {row.test}", (exactly(LATENCY, row.latency, "us", row.doubt),)
    )
    size = values["batch"] * values["seqlen"] * values["hidden_dim"] * values["fused_qkv_dim"]
    return Work(case, row.run, HERE, 2e-9 * size)


def _name(values: Configuration) -> str:
    words = [values["norm_type"].name.replace("_NORM", "").replace("NO", "")]
    words += ["" if values["quantization_type"].name == "NONE" else f"fp8-{values['quantization_type'].name.lower()}"]
    words += [word for name, word in (("fused_add", "add"), ("qkv_bias", "bias")) if values[name]]
    size = f"LNC{values['lnc_degree']} {values['batch']}x{values['seqlen']} H{values['hidden_dim']}"
    return " ".join([size, f"I{values['fused_qkv_dim']}", *(word for word in words if word)])
