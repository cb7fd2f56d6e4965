from typing import Any

from nkisim.nki.experimental import *

def __getattr__(name: str) -> Any: ...
