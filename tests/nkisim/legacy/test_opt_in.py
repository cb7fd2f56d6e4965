"""`import neuronxcc.nki` means NKI 0.1 where that is asked for, and the current NKI elsewhere."""

import os
import subprocess
import sys

import pytest


def said(code: str, **environment: str) -> str:
    """What a process of its own prints, or the last line of its error."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    return (done.stdout or done.stderr).strip().splitlines()[-1]


SHOW = "import neuronxcc.nki.language as nl; print(nl.__name__)"


@pytest.mark.parametrize(
    ("code", "environment", "older"),
    [
        (f"import nkisim; nkisim.install(legacy=True); {SHOW}", {}, "nkisim.legacy.nki.language"),
        (f"import nkisim; nkisim.install(); nkisim.install(legacy=True); {SHOW}", {}, "nkisim.legacy.nki.language"),
        (f"import nkisim; nkisim.install(); {SHOW}", {"NKISIM_LEGACY": "1"}, "nkisim.legacy.nki.language"),
        (f"import nkisim; nkisim.install(); {SHOW}", {"NKISIM_LEGACY": "0"}, "nkisim.nki.language"),
    ],
)
def test_the_older_dialect_is_there_where_it_is_asked_for(code: str, environment: dict[str, str], older: str) -> None:
    assert said(code, **environment) == older


def test_both_dialects_run_in_one_process() -> None:
    code = "import nkisim; nkisim.install(legacy=True); import nki, neuronxcc.nki as old; "
    assert said(code + "print(nki.__name__, old.__name__)") == "nkisim.nki nkisim.legacy.nki"


def test_asking_after_the_import_is_an_error() -> None:
    code = "import nkisim; nkisim.install(); import neuronxcc.nki; nkisim.install(legacy=True)"
    assert "before that" in said(code)


def test_nothing_of_it_is_imported_unless_asked_for() -> None:
    code = "import sys, nkisim, nkisim.__main__; nkisim.install(); import nki.language; "
    assert said(code + "print([name for name in sys.modules if name.startswith('nkisim.legacy')])") == "[]"
