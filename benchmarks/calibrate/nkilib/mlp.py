"""The MLP kernels of nki-library: prefill (`mlp_cte`) and decoding (`mlp_tkg`)."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from calibrate.cases import Case, Work, exactly
from calibrate.nkilib.job import HERE, LONG, TESTS, Launcher, rounded, zeros
from calibrate.readings import LATENCY
from nkisim.observe import Observer

_CTE = [
    "lnc", "batch", "seqlen", "hidden", "intermediate", "cycles", "rtol", "norm_type", "quant_type", "fused_add",
    "store_add", "skip_gate", "act_fn_type", "gate_bias", "up_bias", "down_bias", "norm_bias",
]  # fmt: skip
_TKG = [
    "lnc", "batch", "seqlen", "hidden", "intermediate", "dtype", "quant_dtype", "quant_type", "cycles", "norm_type",
    "fused_add", "store_add", "act_fn_type", "skip_gate", "gate_bias", "up_bias", "down_bias", "norm_bias",
    "gate_up_columns", "down_columns", "down_layout",
]  # fmt: skip
_LONG = 30.0  # GFLOP


def works() -> list[Work]:
    """The configurations that state a latency.

    Many numbers stand at several configurations, copied from the first one: only that is taken.
    """
    found: list[Work] = []
    for kernel, fields in (("mlp_cte", _CTE), ("mlp_tkg", _TKG)):
        module = importlib.import_module(f"{TESTS}.mlp.test_{kernel}")
        module.gaussian_tensor_generator = zeros  # type: ignore[attr-defined]
        module.random_lhs_and_random_bound_weight_tensor_generator = zeros  # type: ignore[attr-defined]
        found += _works(kernel, module, fields)
    return found


def _works(kernel: str, module: Any, fields: list[str]) -> list[Work]:
    configurations = list(_configurations(module, fields))
    owners: dict[float, str] = {}
    for config in configurations:
        owners.setdefault(config.cycles, _name(config))
    numbers = Counter(_name(config) for config in configurations)
    made: dict[tuple[str, float], Work] = {}
    for config in configurations:
        name = _name(config)
        if owners[config.cycles] != name:
            continue
        figure = exactly(LATENCY, config.cycles / 1e6, "us", _doubt(config, numbers[name]))
        gflop = 6e-9 * config.batch * config.seqlen * config.hidden * config.intermediate
        family = f"{kernel}{LONG if gflop > _LONG else ''}"
        case = Case(kernel, family, name, f"nki-library, test_{kernel}", (figure,))
        made.setdefault((name, config.cycles), Work(case, partial(_run, kernel, module, config), HERE, gflop))
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
    return rounded(config.cycles / 1e6) or ("other numbers stand at the same configuration" if numbers > 1 else "")


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


def _run(kernel: str, module: Any, config: SimpleNamespace, observer: Observer) -> str:
    from test.utils.common_dataclasses import CompilerArgs, Platforms

    launcher = Launcher(observer)
    compiler = CompilerArgs(logical_nc_config=config.lnc, platform_target=Platforms.TRN2)
    same = {
        name: getattr(config, name)
        for name in (
            "batch", "seqlen", "hidden", "intermediate", "act_fn_type", "fused_add", "store_add", "norm_type",
            "gate_bias", "up_bias", "down_bias", "norm_bias",
        )
    }  # fmt: skip
    same |= {"test_manager": launcher, "compiler_args": compiler, "collector": None, "lnc_degree": config.lnc}
    if kernel == "mlp_cte":
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
    return launcher.launch
