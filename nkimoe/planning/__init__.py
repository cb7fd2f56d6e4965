# SPDX-License-Identifier: Apache-2.0
"""What is decided before the first instruction: request -> problem -> rules -> tiling -> plan."""
