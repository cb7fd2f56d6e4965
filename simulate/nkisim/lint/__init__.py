# SPDX-License-Identifier: Apache-2.0
"""Finds what simulates but would not trace, compile or mean the same on the real toolchain, by reading the source."""

from nkisim.lint.check import LintProblem, lint_kernel, lint_source
from nkisim.lint.versions import VERSIONS, Version

__all__ = ["VERSIONS", "LintProblem", "Version", "lint_kernel", "lint_source"]
