# SPDX-License-Identifier: Apache-2.0
"""Which findings stop a run, where sources disagree: a choice by code.

NKISIM_REFUSE=NKI411    notes of these codes stop a run, as problems do
NKISIM_ALLOW=NKI201     findings of these codes are kept, and stop none

Documented rules are no findings: they raise always. With `report_only` nothing that is found stops a run.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from nkisim.errors import ArgumentError, known_codes
from nkisim.observe.event import Finding
from nkisim.observe.ignored import Note

REFUSE, ALLOW = "NKISIM_REFUSE", "NKISIM_ALLOW"


@dataclass(frozen=True)
class Policy:
    """Codes that are treated otherwise than they are by default."""

    refused: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls) -> Policy:
        """What the two variables say.

        Raises:
            ArgumentError: a code that no finding has, or one in both.
        """
        policy = cls(_codes(REFUSE), _codes(ALLOW))
        if both := policy.refused & policy.allowed:
            raise ArgumentError(f"{REFUSE} and {ALLOW} name different codes", ", ".join(sorted(both)), "Drop one.")
        return policy

    def stops(self, finding: Finding) -> bool:
        """Whether a run ends at the finding."""
        code = finding.code
        return code in self.refused or not (isinstance(finding, Note) or code in self.allowed)


def _codes(variable: str) -> frozenset[str]:
    codes = frozenset(re.findall(r"[^\s,]+", os.environ.get(variable, "")))
    if unknown := codes - known_codes():
        raise ArgumentError(
            f"{variable} lists codes such as NKI411, with commas",
            ", ".join(sorted(unknown)),
            "Take them from findings.",
        )
    return codes
