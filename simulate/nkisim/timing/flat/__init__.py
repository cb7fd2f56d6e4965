# SPDX-License-Identifier: Apache-2.0
"""The schedule and the compiler's order as functions over flat arrays: plain Python that numba can compile.

Nothing here is an object with methods, and what belongs to a task, a queue or a lane is an entry of an array, with the
number of the task, queue or lane as index. `way` has what decides whether arrays are lists or NumPy's, and functions
plain or compiled; `layout` writes programs, orders, costs and machines as arrays. All other modules are compiled as a
whole, and only what numba knows may be used in them.
"""
