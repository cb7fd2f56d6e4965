# SPDX-License-Identifier: Apache-2.0
"""Which blocks, in which loop. All device loops live here."""
