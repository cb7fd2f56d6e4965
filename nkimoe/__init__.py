# SPDX-License-Identifier: Apache-2.0
"""nkimoe: NKI kernels for the Mixture-of-Experts MLP of prefill on AWS Trainium.

Importing it decides once what `import nki` means (see `nkimoe.toolchain`).
"""

from typing import Any

from nkimoe.toolchain import bind as _bind

TOOLCHAIN = _bind()
"""What `import nki` means here: "neuron" or "simulate"."""

from nkimoe.errors import InputError, RequestError  # noqa: E402
from nkimoe.kernels.shared_tensors import name_scope  # noqa: E402
from nkimoe.moe_cte import moe_cte  # noqa: E402
from nkimoe.moe_cte_backward import moe_cte_backward  # noqa: E402
from nkimoe.planning.check_inputs import check_inputs  # noqa: E402
from nkimoe.spec import (  # noqa: E402
    ActFnType,
    BlockShardStrategy,
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    MoECTESpec,
    Pairs,
    QuantizationConfig,
    QuantizationType,
    ShardOnBlockConfig,
    ShardOnIConfig,
    SkipMode,
)

__all__ = [
    "TOOLCHAIN",
    "ActFnType",
    "BlockShardStrategy",
    "ExpertAffinityScaleMode",
    "InputError",
    "MoECTEImplementation",
    "MoECTESpec",
    "Pairs",
    "QuantizationConfig",
    "QuantizationType",
    "RequestError",
    "ShardOnBlockConfig",
    "ShardOnIConfig",
    "SkipMode",
    "check_inputs",
    "moe_cte",
    "moe_cte_backward",
    "name_scope",
]


def __getattr__(name: str) -> Any:
    """`__version__`, when it is asked for: beside AWS's toolchain the simulator is not imported."""
    if name == "__version__":
        from nkisim import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
