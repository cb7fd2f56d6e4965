"""Tables of an ingested profile, as parquet files. They need pyarrow: `pip install 'nkimoe[device]'`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from on_device.fields import FieldError
from on_device.instruction_table import ProfiledInstruction

SCHEMA_MAJOR = 7, 12
"""Versions of neuron-explorer's schema of which the fields below are known: SDK 2.31 to 2.33."""

_NEEDED = ("engine", "opcode", "start_ts", "duration_ns")
_LINES = "nki_source_location"
_SAME = {"pe": "tensor", "dve": "vector", "act": "scalar", "activation": "scalar", "pool": "gpsimd", "sp": "sync"}

Rows = list[dict[str, Any]]


def profile_folder(data: Path, name: str) -> Path:
    """Where `neuron-explorer view --ingest-only --data-path DATA --display-name NAME` leaves the tables."""
    return data / "profiles" / "global" / f"{name}@latest"


def read_instructions(folder: Path) -> list[ProfiledInstruction]:
    """All instructions of a profile, in order of time.

    Raises:
        FieldError: the table or a column is missing.
    """
    rows = read_rows(folder, "Instruction", _NEEDED, optional=(_LINES,))
    found = [
        ProfiledInstruction(
            engine_name(str(row["engine"])), str(row["opcode"]), float(row["start_ts"]), float(row["duration_ns"]),
            _line(row.get(_LINES)),
        )
        for row in rows
    ]  # fmt: skip
    return sorted(found, key=lambda each: each.start_ns)


def read_notes(folder: Path) -> dict[str, Any]:
    """What speaks for and against the profile: versions, warnings, throttling."""
    rows = read_rows(folder, "Metadata", ("profile_schema_version",), ("instance_type", "compiler_version"))
    metadata = {key: value for key, value in (rows[0] if rows else {}).items() if value is not None}
    warnings = [str(row["message"]) for row in read_rows(folder, "Warning", ("message",), may_lack=True)]
    throttled = sum(float(row["duration"]) for row in read_rows(folder, "Throttle", ("duration",), may_lack=True))
    return {**metadata, "warnings": warnings, "throttled_us": throttled / 1e3}


def read_rows(
    folder: Path, table: str, needed: Sequence[str], optional: Sequence[str] = (), may_lack: bool = False
) -> Rows:
    """Rows of a table, which may be split over numbered files.

    Args:
        may_lack: an absent table is an empty one, as tables of warnings are.

    Raises:
        FieldError: the table or one of the columns `needed` is missing, or pyarrow is.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise FieldError("reading profiles needs pyarrow: pip install 'nkimoe[device]'") from None
    pattern = re.compile(rf"{table}([._-]?\d+)?\.parquet")
    files = sorted(each for each in folder.glob(f"{table}*.parquet") if pattern.fullmatch(each.name))
    if not files and not may_lack:
        tables = ", ".join(sorted(each.stem for each in folder.glob("*.parquet")))
        raise FieldError(f"{folder}: the table {table!r} is missing; there are {tables or 'none'}")
    rows: Rows = []
    for file in files:
        names = parquet.read_schema(file).names
        missing = [name for name in needed if name not in names]
        if missing:
            raise FieldError(
                f"{file}: the column {missing[0]!r} is missing; there are {', '.join(names)}. Known are schemas "
                f"{' to '.join(map(str, SCHEMA_MAJOR))} of neuron-explorer (--show-profile-schema prints yours)"
            )
        columns = [*needed, *(name for name in optional if name in names)]
        rows += parquet.read_table(file, columns=columns).to_pylist()
    return rows


def engine_name(said: str) -> str:
    """An engine, as nkisim calls it."""
    name = re.sub(r"[^a-z]", "", said.lower()).removesuffix("engine")
    return _SAME.get(name, name)


def _line(said: Any) -> str:
    """The last of the lines of a stack, file.py:12, without folders."""
    last = said[-1] if isinstance(said, list) and said else said
    place = re.findall(r"([\w.-]+\.py:\d+)", str(last or ""))
    return place[-1] if place else ""
