"""What a quantisation of rows decides before its first instruction: request, rules, plan."""
