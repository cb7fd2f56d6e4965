# SPDX-License-Identifier: Apache-2.0
"""The instructions of NKI 0.1: each returns a new tile and takes a mask."""
