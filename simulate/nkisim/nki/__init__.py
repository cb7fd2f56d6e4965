"""The names of AWS's `nki` package, simulated."""

from nkisim.execution.kernel import Kernel, jit, simulate

__all__ = ["Kernel", "jit", "simulate"]
