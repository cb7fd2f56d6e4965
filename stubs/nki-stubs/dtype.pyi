from typing import Any

from nkisim.nki.dtype import *

def __getattr__(name: str) -> Any: ...
