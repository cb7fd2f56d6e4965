from typing import Any

from nkisim.nki.isa import *

def __getattr__(name: str) -> Any: ...
