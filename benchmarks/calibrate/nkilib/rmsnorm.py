"""rmsnorm_quant: RMSNorm, then quantisation of rows to fp8."""

from __future__ import annotations

import importlib

from calibrate.cases import Case, Work, exactly
from calibrate.nkilib.job import HERE, TESTS, Stated, stated
from calibrate.readings import LATENCY

KERNEL = "rmsnorm_quant"


def works() -> list[Work]:
    """One for each configuration."""
    module = importlib.import_module(f"{TESTS}.rmsnorm.test_rmsnorm_quant")
    return [_work(row) for row in stated(module.TestRmsNormQuantKernel)]


def _work(row: Stated) -> Work:
    values = row.values
    what = "quantise" if values["quant_only"] else "norm and quantise"
    clipped = " clipped" if values["lower_bound"] else ""
    name = f"LNC{values['lnc_degree']} {values['seqlen']} x {values['hidden']} {what}{clipped}"
    figure = exactly(LATENCY, row.latency, "us", row.doubt)
    return Work(Case(KERNEL, KERNEL, name, f"nki-library, {row.test}", (figure,)), row.run, HERE)
