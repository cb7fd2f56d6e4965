# SPDX-License-Identifier: Apache-2.0
"""When everything happens: work becomes durations, events a timeline. A pure function of events and a machine."""

from nkisim.timing.clock import CLOCK, Forecast, Order, forecast, schedules, timeline
from nkisim.timing.sensitivity import Leverage, sensitivity
from nkisim.timing.timeline import Timeline
from nkisim.timing.timer import Timer

__all__ = [
    "CLOCK",
    "Forecast",
    "Leverage",
    "Order",
    "Timeline",
    "Timer",
    "forecast",
    "schedules",
    "sensitivity",
    "timeline",
]
