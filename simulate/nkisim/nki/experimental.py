# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.experimental`: the loops, before NKI 0.6 moved them to `nki.language`."""

from nkisim.nki.language import fori_loop, while_loop

__all__ = ["fori_loop", "while_loop"]
