# SPDX-License-Identifier: Apache-2.0
"""What a file of NKI 0.1 has to write in the current NKI, line by line."""

from nkisim.migrate.advice import Replacement
from nkisim.migrate.reader import advise

__all__ = ["Replacement", "advise"]
