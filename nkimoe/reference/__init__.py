# SPDX-License-Identifier: Apache-2.0
"""What is right and how fast it can be: the operation in NumPy, its tolerances, its roofline."""

from nkimoe.reference.forward import moe_cte_checkpoints_reference, moe_cte_reference

__all__ = ["moe_cte_checkpoints_reference", "moe_cte_reference"]
