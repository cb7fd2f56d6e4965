# SPDX-License-Identifier: Apache-2.0
"""Which names each of nkilib's modules has."""

from __future__ import annotations

import importlib.util
import sys
import types

from nkimoe import spec
from nkimoe.as_nkilib import entry, kernels

_SPEC_NAMES = (
    "ActFnType", "BlockShardStrategy", "ExpertAffinityScaleMode", "MoECTEImplementation", "MoECTESpec",
    "QuantizationConfig", "QuantizationType", "ShardOnBlockConfig", "ShardOnIConfig", "SkipMode",
)  # fmt: skip
_OPTIONS = {name: getattr(spec, name) for name in _SPEC_NAMES}
_MOE_CTE = "nkilib.core.moe.moe_cte"
MODULES: dict[str, dict[str, object]] = {
    "nkilib": {},
    "nkilib.core": {},
    "nkilib.core.moe": {},
    "nkilib.core.utils": {},
    "nkilib.core.utils.common_types": _OPTIONS,
    _MOE_CTE: _OPTIONS,
    f"{_MOE_CTE}.moe_cte": {**_OPTIONS, "moe_cte": entry.moe_cte},
    f"{_MOE_CTE}.moe_cte_utils": _OPTIONS,
    f"{_MOE_CTE}.bwmm_shard_on_block": {"bwmm_shard_on_block": kernels.bwmm_shard_on_block},
    f"{_MOE_CTE}.bwmm_shard_on_block_mx": {"bwmm_shard_on_block_mx": kernels.bwmm_shard_on_block_mx},
    f"{_MOE_CTE}.bwmm_shard_on_I": {kernel.__name__: kernel for kernel in kernels.SHARDED_ON_I},
    f"{_MOE_CTE}.bwmm_shard_on_I_mx": {kernel.__name__: kernel for kernel in kernels.SHARDED_ON_I_MX},
}


def install() -> None:
    """From now on nkilib's names of the prefill MoE mean nkimoe. Calling it again changes nothing.

    Raises:
        RuntimeError: a real nkilib is imported or installed; the two are never mixed.
    """
    loaded = sys.modules.get("nkilib")
    if loaded is not None and loaded.__dict__.get("__nkimoe__"):
        return
    if loaded is not None or importlib.util.find_spec("nkilib") is not None:
        raise RuntimeError("a real nkilib is installed; import nkimoe.moe_cte by its own name instead")
    for name, contents in MODULES.items():
        module = types.ModuleType(name, "nkimoe under nkilib's name.")
        module.__dict__.update(contents, __nkimoe__=True, __path__=[])
        sys.modules[name] = module
    for name in MODULES:
        parent, _, child = name.rpartition(".")
        if parent and child not in MODULES[parent]:
            setattr(sys.modules[parent], child, sys.modules[name])
