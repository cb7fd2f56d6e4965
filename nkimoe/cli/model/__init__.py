# SPDX-License-Identifier: Apache-2.0
"""nkimoe model: the prefill of a whole model on one layout of ranks."""
