from typing import Any

from nkisim.nki.typing import *

def __getattr__(name: str) -> Any: ...
