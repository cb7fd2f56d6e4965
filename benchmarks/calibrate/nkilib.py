"""The latencies nki-library's tests state for its own MLP kernels, read from a checkout, and the same kernels here.

Nothing of that library is in this repository: test modules of the checkout build the arguments and name the kernel, the
numbers are the ones beside each configuration there (`tpbSgCyclesSum`, taken as picoseconds).
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrate.cases import Case, Predictions, Published
from calibrate.measure import timeline_of

_FOLDER = "test.integration.nkilib.core.mlp"
_CTE = [
    "lnc", "batch", "seqlen", "hidden", "intermediate", "cycles", "rtol", "norm_type", "quant_type", "fused_add",
    "store_add", "skip_gate", "act_fn_type", "gate_bias", "up_bias", "down_bias", "norm_bias",
]  # fmt: skip
_TKG = [
    "lnc", "batch", "seqlen", "hidden", "intermediate", "dtype", "quant_dtype", "quant_type", "cycles", "norm_type",
    "fused_add", "store_add", "act_fn_type", "skip_gate", "gate_bias", "up_bias", "down_bias", "norm_bias",
    "gate_up_columns", "down_columns", "down_layout",
]  # fmt: skip
_STRIDED, _LAUNCH = ("stores on chip wait for each other",), ("launch",)
_FITTED = {  # what each row was used for: a constant, or the choice of a rule
    "LNC1 1x1 H16384 I416 columns 11": (*_LAUNCH, "dma.packet", "one static queue", "partitions dealt out"),
    "LNC1 1x1 H16384 I832 columns 11": (*_LAUNCH, "dma.packet", "one static queue", "partitions dealt out"),
    "LNC2 4x1 H5120 I128 columns 11": _LAUNCH,
    "LNC2 4x1 H16384 I832 columns 11": (*_LAUNCH, "one static queue"),
    "LNC2 4x1 H16384 I832 columns 10": _STRIDED,
    "LNC2 4x1 H8192 I1024 RMS columns 00 unit-stride": _STRIDED,
    "LNC2 8x1 H5120 I128 columns 00": _STRIDED,
    "LNC1 1x512 H1024 I448 RMS add": ("launch.first_run",),
    "LNC2 1x578 H1408 I352 up-only": ("launch.first_run",),
    "LNC2 1x128 H8192 I896 LAYER": ("software descriptors for casts",),
    "LNC1 1x128 H8192 I896 RMS add": ("software descriptors for casts",),
    "LNC2 4x8 H8192 I512 RMS add columns 11": ("one static queue",),
}
_ROUNDED = 4  # a number with at most so many digits was not measured as it stands


def cases(checkout: Path) -> list[Case]:
    """The configurations of the checkout that state a latency, prefill and token generation.

    Many numbers stand at several configurations, copied from the first one: only that is taken.
    """
    from conformance.imports import prepare

    prepare(checkout)
    found: list[Case] = []
    for kind, module_name, fields in (("prefill", "test_mlp_cte", _CTE), ("decode", "test_mlp_tkg", _TKG)):
        module = importlib.import_module(f"{_FOLDER}.{module_name}")
        found += _cases(kind, module, fields)
    return found


def _cases(kind: str, module: Any, fields: list[str]) -> list[Case]:
    configurations = list(_configurations(module, fields))
    owners: dict[float, str] = {}
    for config in configurations:
        owners.setdefault(config.cycles, _name(config))
    numbers = Counter(_name(config) for config in configurations)
    source = f"nki-library, {module.__name__.rsplit('.', 1)[-1]}, tpbSgCyclesSum"
    made: dict[tuple[str, float], Case] = {}
    for config in configurations:
        name = _name(config)
        if owners[config.cycles] != name:
            continue
        doubt = _doubt(config, numbers[name])
        published = Published("latency", config.cycles / 1e6, "us", _FITTED.get(name, ()), doubt)
        gflop = 6e-9 * config.batch * config.seqlen * config.hidden * config.intermediate
        run = lambda config=config: _predict(kind, module, config)  # noqa: E731
        made.setdefault((name, config.cycles), Case(f"MLP {kind}", name, source, (published,), run, gflop))
    return list(made.values())


def _configurations(module: Any, fields: list[str]) -> Iterator[SimpleNamespace]:
    """Rows of the lists of configurations in a test module that state a latency and run on Trn2."""
    seen = set()
    for value in vars(module).values():
        rows = value if isinstance(value, list) else []
        for row in rows:
            if isinstance(row, list) and len(row) == len(fields):
                config = SimpleNamespace(**dict(zip(fields, row, strict=True)))
                identity = str(row)
                if config.cycles and "MX" not in config.quant_type.name and identity not in seen:
                    seen.add(identity)
                    yield config


def _doubt(config: SimpleNamespace, numbers: int) -> str:
    """Why the number may not be a measurement of this configuration."""
    digits = f"{int(config.cycles)}".rstrip("0")
    if len(digits) <= _ROUNDED:
        return "a rounded number"
    return "other numbers stand at the same configuration" if numbers > 1 else ""


def _name(config: SimpleNamespace) -> str:
    """Such as `LNC2 4x5 H8192 I896 RMS add store`."""
    options = [config.norm_type.name.replace("_NORM", "").replace("NO", "")]
    options += ["" if config.quant_type.name == "NONE" else f"fp8-{config.quant_type.name.lower()}"]
    options += ["" if config.act_fn_type.name == "SiLU" else config.act_fn_type.name]
    for field, word in (("fused_add", "add"), ("store_add", "store"), ("skip_gate", "up-only")):
        options += [word if getattr(config, field) else ""]
    biases = [b for b in ("gate", "up", "down", "norm") if getattr(config, f"{b}_bias")]
    options += ["bias " + "+".join(biases) if biases else ""]
    if hasattr(config, "down_layout"):
        options += [f"columns {int(config.gate_up_columns)}{int(config.down_columns)}"]
        options += ["unit-stride" if config.down_layout else ""]
    size = f"LNC{config.lnc} {config.batch}x{config.seqlen} H{config.hidden} I{config.intermediate}"
    return " ".join([size, *(option for option in options if option)])


class _Launch:
    """What the checkout calls a test manager: it times the kernel it is given.

    The numbers are those of whole executions, so that the cost of a launch is added. Only the last of several runs is
    measured; where there is one, it is the first.
    """

    def __init__(self) -> None:
        self.latency_ns = 0.0

    def execute(self, job: Any) -> None:
        arguments = {name.removesuffix(".must_alias_input"): value for name, value in job.kernel_input.items()}
        os.environ["NEURON_PLATFORM_TARGET_OVERRIDE"] = "trn2"
        timeline = timeline_of(job.kernel_func, lnc=job.compiler_input.logical_nc_config, **arguments)
        launch = "launch.one_core" if timeline.cores == 1 else "launch.two_cores"
        self.latency_ns = timeline.latency_ns + timeline.machine.number(launch)
        if job.inference_args.num_runs == 1:
            self.latency_ns += timeline.machine.number("launch.first_run")


def _zeros(*_: Any, **__: Any) -> Any:
    """In place of a generator of random tensors: no time depends on values."""
    return lambda shape, dtype, name=None: np.zeros(shape, dtype)


def _predict(kind: str, module: Any, config: SimpleNamespace) -> Predictions:
    from test.utils.common_dataclasses import CompilerArgs, Platforms

    module.gaussian_tensor_generator = module.random_lhs_and_random_bound_weight_tensor_generator = _zeros
    launch = _Launch()
    compiler = CompilerArgs(logical_nc_config=config.lnc, platform_target=Platforms.TRN2)
    same = {
        name: getattr(config, name)
        for name in (
            "batch", "seqlen", "hidden", "intermediate", "act_fn_type", "fused_add", "store_add", "norm_type",
            "gate_bias", "up_bias", "down_bias", "norm_bias",
        )
    }  # fmt: skip
    same |= {"test_manager": launch, "compiler_args": compiler, "collector": None, "lnc_degree": config.lnc}
    if kind == "prefill":
        module.TestMlpCteKernel().run_mlp_cte_test(
            **same, dtype=module.nl.bfloat16, quant_type=config.quant_type, skip_gate=config.skip_gate, rtol=config.rtol
        )
    else:
        module.TestMlpTkgKernels().run_mlp_tkg_test(
            **same, dtype=config.dtype, quant_dtype=config.quant_dtype, quantization_type=config.quant_type,
            skip_gate_proj=config.skip_gate, use_tkg_gate_up_proj_column_tiling=config.gate_up_columns,
            use_tkg_down_proj_column_tiling=config.down_columns,
            use_tkg_down_proj_optimized_layout=config.down_layout,
        )  # fmt: skip
    return {"latency": launch.latency_ns / 1e3}
