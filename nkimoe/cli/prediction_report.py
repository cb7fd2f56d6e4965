# SPDX-License-Identifier: Apache-2.0
"""A predicted latency beside the roofline of the work: what every report of it says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nkimoe.reference.roofline import Roofline
from nkisim.report.summary import Profile


@dataclass(frozen=True)
class BesideRoofline:
    """What ran, and the least that it can take.

    Attributes:
        profile: of the simulated run.
        roofline: of its useful work.
    """

    profile: Profile
    roofline: Roofline

    @property
    def fraction_of_roofline(self) -> float:
        """The least time the work can take, over the predicted one."""
        return self.roofline.latency_us / self.profile.latency_us

    @property
    def tflops(self) -> float:
        """Useful 1e12 operations a second, predicted."""
        return self.roofline.work.flops / self.profile.latency_us / 1e6

    @property
    def mfu(self) -> float:
        """That over the peak of the cores."""
        return self.tflops / self.roofline.peaks.tflops

    def as_json(self) -> dict[str, Any]:
        """The documented keys: bytes, and microseconds unless the key says otherwise."""
        profile = self.profile
        return {
            "latency_us": profile.latency_us,
            **profile.bounds_json(),
            "roofline_us": self.roofline.latency_us,
            "fraction_of_roofline": self.fraction_of_roofline,
            "bound_by": profile.bound_by,
            "critical_path_us": profile.prediction.critical_path_us,
            "lines": profile.prediction.lines_json(),
            "functions": profile.prediction.functions_json(),
            "tflops": self.tflops,
            "mfu": self.mfu,
            "hbm_bytes": {"read": profile.hbm_read, "written": profile.hbm_written},
            "engines": {name: asdict(use) for name, use in sorted(profile.engines.items())},
            "sbuf_peak_bytes_per_partition": profile.sbuf_peak_bytes,
            "psum_peak_banks": profile.psum_peak_banks,
            "provenance": profile.provenance,
        }
