"""Finds what simulates but would not trace, compile or mean the same on the real toolchain, by reading the source."""

from nkisim.lint.check import Problem, lint_kernel, lint_source

__all__ = ["Problem", "lint_kernel", "lint_source"]
