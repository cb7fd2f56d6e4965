from typing import Any

from nkisim.nki.collectives import *

def __getattr__(name: str) -> Any: ...
