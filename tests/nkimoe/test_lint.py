"""`nkisim lint` finds nothing in any kernel, for the versions of the SDK that trace."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import nkimoe
from nkisim.execution.kernel import Kernel
from nkisim.lint import VERSIONS, lint_kernel

for _client in ("torch", "transformers", "safetensors"):
    pytest.importorskip(_client)


def kernels() -> Iterator[Kernel]:
    """All of nkimoe, each once."""
    found = {}
    for module in pkgutil.walk_packages(nkimoe.__path__, "nkimoe."):
        if not module.name.endswith("__main__"):
            values = vars(importlib.import_module(module.name)).values()
            found |= {id(value.function): value for value in values if isinstance(value, Kernel)}
    return iter(found.values())


@pytest.mark.slow
@pytest.mark.parametrize("sdk", ["2.32", "2.33"])
def test_no_kernel_has_what_a_tracing_version_lacks(sdk: str) -> None:
    problems = {kernel.function.__qualname__: lint_kernel(kernel, VERSIONS[sdk]) for kernel in kernels()}
    assert len(problems) > 20
    assert {name: found for name, found in problems.items() if found} == {}
