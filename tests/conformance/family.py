"""What a family of kernels is: where its tests are, how large they may be, and which mistakes are the peer's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

ZEROS = {"NKISIM_UNWRITTEN_BYTE": "0"}  # kernels that read what they never wrote, and count on finite numbers there
OLDER_SCALES = {"NKISIM_MX_SCALE_RULE": "ocp"}  # references that compare scale codes, by the rule of OCP's example


@dataclass(frozen=True)
class PeerBug:
    """A case the peer gets wrong by its own reference, or does not run at all.

    Attributes:
        pattern: regular expression on the name of the case.
        evidence: what the reference says, what the kernel says.
        message: regular expression on what was wrong, so that other trouble of the same case is not excused.
    """

    pattern: str
    evidence: str
    message: str = ""

    def matches(self, name: str, message: str) -> bool:
        """Whether the case is one of those."""
        return re.search(self.pattern, name) is not None and re.search(self.message, message) is not None


@dataclass(frozen=True)
class Family:
    """Kernels that are tested together.

    Attributes:
        name: as printed.
        modules: test files: of nki-library, or for any other source of this folder.
        source: which checkout the kernels come from: "nkilib", "samples", "sdk" or "aiter".
        largest: most a parameter of a test may be; larger values are replaced by this, and the report says so.
        leave_out: regular expression on names of cases that do not fit a laptop, or need several devices.
        unskip: regular expression on names of cases that run although the test skips them.
        target: "trn2" or "trn3"; by default trn2 unless the test excludes it.
        bugs: known mistakes of the peer.
        seconds: of processor time a case gets.
        adapt: which of `adapted.ADAPTATIONS` the arguments go through.
        environment: variables that choose among behaviours nkisim has, such as `ZEROS`.
    """

    name: str
    modules: tuple[str, ...]
    source: str = "nkilib"
    largest: Mapping[str, int] = field(default_factory=dict)
    leave_out: str = ""
    unskip: str = ""
    target: str = ""
    bugs: tuple[PeerBug, ...] = ()
    seconds: int = 180
    adapt: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
