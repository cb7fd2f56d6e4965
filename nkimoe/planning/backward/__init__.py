"""What `moe_cte_backward` decides before its first instruction: request, rules, tiling, plan."""
