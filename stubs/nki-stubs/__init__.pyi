# What type checkers take `nki` for: the simulator. Names that it makes at run time are of any type.
from typing import Any

from nkisim.nki import *

def __getattr__(name: str) -> Any: ...
