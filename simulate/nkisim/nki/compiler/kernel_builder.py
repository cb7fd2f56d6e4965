# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.compiler.kernel_builder`, which compiles for a device."""

from nkisim.nki._names import Published, Refused

compile_kernel = Refused(Published("nki.compiler.kernel_builder", "compile_kernel", None, "0.2"))

__all__ = ["compile_kernel"]
