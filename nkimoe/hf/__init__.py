# SPDX-License-Identifier: Apache-2.0
"""Hugging Face transformers 5: experts run by `moe_cte`.

    import nkimoe.hf
    nkimoe.hf.register()
    model.set_experts_implementation("nkimoe")

Needs the extra `hf`.
"""

from nkimoe.hf.forward import NAME, register
from nkimoe.hf.int8_model import load_int8
from nkimoe.hf.record_routing import record_routing
from nkimoe.pytorch.options import Options, options

__all__ = ["NAME", "Options", "load_int8", "options", "record_routing", "register"]
