# SPDX-License-Identifier: Apache-2.0
"""Is a kernel that was written anew for the current NKI the same as the old one?"""

from nkisim.prove.proof import Proof, Trial, prove

__all__ = ["Proof", "Trial", "prove"]
