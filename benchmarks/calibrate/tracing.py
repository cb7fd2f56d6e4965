"""All cases there are, and how they are traced: each in a process of its own, and none twice."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from calibrate.cases import Work
from calibrate.traces import Trace, is_fresh, record, save, version_of

SECONDS, MEMORY_GIB = 600, 12.0


def works(groups: Iterable[str], nkilib: Path | None) -> list[Work]:
    """The cases of these groups; those of nki-library only with a checkout."""
    import nkisim

    nkisim.install()
    found: list[Work] = []
    for group in groups:
        maker = importlib.import_module(f"calibrate.{group}")
        if group != "nkilib":
            found += maker.works()
        elif nkilib is not None:
            found += maker.works(nkilib)
    return found


def trace(folder: Path, works: list[Work]) -> Iterator[str]:
    """Trace what is not in the folder yet, one at a time. Yields a line for each; a failure is kept with its reason."""
    from conformance.isolation import run_all

    missing = [work for work in works if not is_fresh(folder, work)]
    yield f"{len(works)} cases, {len(missing)} to trace"
    by_number = {str(number): work for number, work in enumerate(missing)}
    jobs = [(number, partial(record, folder, work)) for number, work in by_number.items()]
    started = time.monotonic()
    for result in run_all(jobs, seconds=SECONDS, memory_gib=MEMORY_GIB, parallel=1):
        work = by_number[result["name"]]
        said = f"{result.get('events')} events"
        if result["status"] != "pass":
            said = reason = _reason(result)
            save(folder, Trace(work.case, version_of(work), reason=reason, seconds=result["seconds"]))
        yield f"{time.monotonic() - started:7.0f} s  {work.case.family}: {work.case.name}: {said}"


def _reason(result: dict[str, str]) -> str:
    if result["status"] == "timeout":
        return f"not traced within {SECONDS} s"
    return f"{result['code']}: {result['message']}".strip(": ")
