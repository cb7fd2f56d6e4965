# SPDX-License-Identifier: Apache-2.0
"""Constants of a machine from latencies that a device was measured to have."""

from nkisim.fitting.fit import Fitted, FittedConstant, fit
from nkisim.fitting.measurement import Measured, Measurement, MeasurementError, parse_measured, read_measured
from nkisim.fitting.term import Term

__all__ = [
    "Fitted",
    "FittedConstant",
    "Measured",
    "Measurement",
    "MeasurementError",
    "Term",
    "fit",
    "parse_measured",
    "read_measured",
]
