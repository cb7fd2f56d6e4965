"""Finds what simulates but would not trace, compile or mean the same on the real toolchain, by reading the source."""

from nkisim.lint.check import LintProblem, lint_kernel, lint_source

__all__ = ["LintProblem", "lint_kernel", "lint_source"]
