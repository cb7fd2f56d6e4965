"""What happened, and who watches. Observers read events; they never touch tensors."""

from nkisim.observe.capacity import Capacity
from nkisim.observe.counters import Counters
from nkisim.observe.event import Event, Finding, Observer, Work
from nkisim.observe.recorder import Recorder
from nkisim.observe.uninitialized import Uninitialized

__all__ = ["Capacity", "Counters", "Event", "Finding", "Observer", "Recorder", "Uninitialized", "Work"]
