# SPDX-License-Identifier: Apache-2.0
"""What `moe_cte_backward` decides before its first instruction: request, rules, tiling, plan."""
