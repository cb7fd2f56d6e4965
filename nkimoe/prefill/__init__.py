# SPDX-License-Identifier: Apache-2.0
"""Prefill of a whole model on one instance: its steps on a rank, and what each needs of PE, HBM, links and memory.

Arithmetic alone. Who predicts a step by running a kernel hands the result in as an `Estimate`.
"""
