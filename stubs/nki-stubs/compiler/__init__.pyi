from typing import Any

from nkisim.nki.compiler import *

def __getattr__(name: str) -> Any: ...
