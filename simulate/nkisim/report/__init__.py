# SPDX-License-Identifier: Apache-2.0
"""What a run looks like to people and scripts."""
