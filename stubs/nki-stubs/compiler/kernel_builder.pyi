from typing import Any

from nkisim.nki.compiler.kernel_builder import *

def __getattr__(name: str) -> Any: ...
