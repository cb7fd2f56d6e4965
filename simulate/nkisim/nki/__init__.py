"""The names of AWS's `nki` package, simulated."""

from nkisim.compat import jit
from nkisim.execution.kernel import Kernel, simulate

__all__ = ["Kernel", "jit", "simulate"]
