# SPDX-License-Identifier: Apache-2.0
"""The instructions of `nki.isa`, one file each: guards, then semantics and work."""
