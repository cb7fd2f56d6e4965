from typing import Any

from nkisim.nki.language import *

def __getattr__(name: str) -> Any: ...
