# SPDX-License-Identifier: Apache-2.0
"""What a quantisation of rows decides before its first instruction: request, rules, plan."""
