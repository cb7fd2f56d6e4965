# SPDX-License-Identifier: Apache-2.0
"""Which variant, block size and strategy a layer should have: all that can be, and what each is estimated to take."""

from nkimoe.choosing.choice import Fixed, LayerChoice
from nkimoe.choosing.cost import CostEstimate, estimate
from nkimoe.choosing.layer import Layer
from nkimoe.choosing.load import ExpectedLoad
from nkimoe.choosing.ranking import Alternative, best_choice, ranked

__all__ = [
    "Alternative", "CostEstimate", "ExpectedLoad", "Fixed", "Layer", "LayerChoice", "best_choice", "estimate", "ranked",
]  # fmt: skip
