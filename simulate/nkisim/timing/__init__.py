"""When everything happens: work becomes durations, events a timeline. A pure function of events and a machine."""

from nkisim.timing.timeline import Timeline
from nkisim.timing.timer import Timer

__all__ = ["Timeline", "Timer"]
