"""How an operation that prepares its launch on the host is started: as kernels are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nkimoe.errors import require
from nkimoe.routing.sorting_rule import is_count


class OnCores:
    """A function of `cores` and its own arguments as an operation: `operation[2](...)`, or `operation(...)` for one."""

    def __init__(self, function: Callable[..., Any], cores: int = 1) -> None:
        functools.update_wrapper(self, function)
        self._function, self._cores = function, cores

    def __getitem__(self, cores: int) -> OnCores:
        """On so many cores, 1 or 2. Raises RequestError for another number."""
        require(is_count(cores) and cores in (1, 2), "cores", "is 1 or 2", cores, "Pass how many cores share the work.")
        return OnCores(self._function, cores)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._function(self._cores, *arguments, **options)
