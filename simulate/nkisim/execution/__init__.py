# SPDX-License-Identifier: Apache-2.0
"""Running a kernel: the cores, their registers and loops, and how they wait for each other."""
