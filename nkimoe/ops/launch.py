# SPDX-License-Identifier: Apache-2.0
"""How an operation that prepares its launch on the host is started: as kernels are."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from nkimoe.errors import require
from nkimoe.planning.argument_types import check_argument_types
from nkimoe.routing.sorting_rule import is_count

Launch = Callable[..., Any]
"""launch(kernel, *arguments): what the kernel returns."""


class OnCores:
    """A function of `launch` and its own arguments as an operation: `operation[2](...)`, or `operation(...)`."""

    __name__: str

    def __init__(self, function: Callable[..., Any], launch: Launch | None = None) -> None:
        functools.update_wrapper(self, function)
        self._function, self._launch = function, launch or partial(_on, 1)
        self._signature = inspect.signature(function)

    def __getitem__(self, cores: int) -> OnCores:
        """On so many cores, 1 or 2. Raises RequestError for another number."""
        require(is_count(cores) and cores in (1, 2), "cores", "is 1 or 2", cores, "Pass how many cores share the work.")
        return self.launched_by(partial(_on, cores))

    def launched_by(self, launch: Launch) -> OnCores:
        """The same operation, its kernel started by `launch`, such as a simulator's that keeps the profile."""
        return OnCores(self._function, launch)

    def __reduce__(self) -> str | tuple[object, ...]:
        """Pickled by name, with how it is launched."""
        named = getattr(sys.modules.get(self.__module__), self.__name__, None)
        if named is self:
            return self.__name__
        same = isinstance(named, OnCores) and named._function is self._function
        return (OnCores.launched_by, (named, self._launch)) if same else (OnCores, (self._function, self._launch))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        given = self._signature.bind_partial(self._launch, *arguments, **options).arguments
        check_argument_types(self._function, given)
        return self._function(self._launch, *arguments, **options)


def _on(cores: int, kernel: Any, *arguments: Any) -> Any:
    return kernel[cores](*arguments)
