# SPDX-License-Identifier: Apache-2.0
"""The language of NKI 0.1 on tiles: loads and stores, operators, functions, what Python's own operators mean."""
