"""What nrtpy and neuron-explorer wrote is read by the names of their documentation; a name that changed is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from on_device.explorer_summary import read_summary
from on_device.explorer_tables import engine_name, profile_folder, read_instructions, read_notes
from on_device.fields import FieldError, read_json
from on_device.nrt_results import read_latencies

Row = dict[str, Any]

INSTRUCTIONS: list[Row] = [
    {"engine": "DVE", "opcode": "TENSOR_COPY", "start_ts": 900, "duration_ns": 120, "pcore_idx": 0,
     "nki_source_location": ["/home/me/layer.py:3", "/home/me/tiles.py:41"]},
    {"engine": "PE", "opcode": "MATMUL", "start_ts": 100, "duration_ns": 60, "pcore_idx": 0, "nki_source_location": []},
]  # fmt: skip
METADATA: list[Row] = [{"profile_schema_version": "7.3", "instance_type": "trn2.48xlarge", "compiler_version": "2.21"}]


def summary(**changes: float) -> dict[str, float]:
    engines = ("tensor", "vector", "scalar", "gpsimd", "sync")
    return {
        "total_time": 2e-4, "dma_active_time": 5e-5, "hbm_read_bytes": 4096, "hbm_write_bytes": 1024,
        **{f"{engine}_engine_active_time": 1e-5 for engine in engines},
        **{f"{engine}_engine_instruction_count": 7 for engine in engines},
        **changes,
    }  # fmt: skip


def without(fields: Row, name: str, renamed: str | None = None) -> Row:
    rest = {key: value for key, value in fields.items() if key != name}
    return rest if renamed is None else {**rest, renamed: fields[name]}


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    folder = profile_folder(tmp_path, "layer")
    folder.mkdir(parents=True)
    write(folder / "Instruction.parquet", INSTRUCTIONS)
    write(folder / "Metadata.parquet", METADATA)
    return folder


def write(path: Path, rows: list[Row]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def test_a_summary_is_read_in_microseconds() -> None:
    found = read_summary(summary(), "summary")
    assert found.total_us == pytest.approx(200)
    assert found.busy_us["tensor"] == pytest.approx(10)
    assert found.busy_us["dma"] == pytest.approx(50)
    assert (found.instructions["sync"], found.hbm_read, found.hbm_written) == (7, 4096, 1024)


def test_of_two_cores_the_slower_one_counts_and_bytes_add_up() -> None:
    found = read_summary({"core 0": summary(), "core 1": summary(total_time=3e-4, dma_active_time=7e-5)}, "summary")
    assert found.total_us == pytest.approx(300)
    assert found.busy_us["dma"] == pytest.approx(60)
    assert (found.instructions["tensor"], found.hbm_read) == (14, 8192)


@pytest.mark.parametrize("name", summary())
def test_a_field_that_a_summary_lacks_is_named(name: str) -> None:
    with pytest.raises(FieldError, match=f"here: the field '{name}' is missing; there are "):
        read_summary(without(summary(), name, f"{name}_v2"), "here")


@pytest.mark.parametrize("document", [None, [], {}, "total_time"])
def test_what_is_no_summary_is_refused(document: Any) -> None:
    with pytest.raises(FieldError, match="should be an object"):
        read_summary(document, "here")


def test_instructions_come_in_order_of_time_with_the_innermost_line(profile: Path) -> None:
    matmul, copy = read_instructions(profile)
    assert (matmul.engine, matmul.opcode, matmul.start_ns, matmul.duration_ns) == ("tensor", "MATMUL", 100, 60)
    assert matmul.is_matmul
    assert (copy.engine, copy.line, matmul.line) == ("vector", "tiles.py:41", "")


def test_a_table_may_be_split_over_numbered_files_and_lack_lines(profile: Path) -> None:
    (profile / "Instruction.parquet").unlink()
    for n, row in enumerate(INSTRUCTIONS):
        write(profile / f"Instruction_{n}.parquet", [without(row, "nki_source_location")])
    write(profile / "InstructionDependency.parquet", [{"other": 1}])
    assert [each.line for each in read_instructions(profile)] == ["", ""]


@pytest.mark.parametrize("name", ["engine", "opcode", "start_ts", "duration_ns"])
def test_a_column_that_a_table_lacks_is_named(name: str, profile: Path) -> None:
    write(profile / "Instruction.parquet", [without(row, name, f"{name}_renamed") for row in INSTRUCTIONS])
    with pytest.raises(FieldError, match=rf"the column '{name}' is missing; there are .*{name}_renamed"):
        read_instructions(profile)


def test_a_table_that_a_profile_lacks_is_named(profile: Path) -> None:
    (profile / "Instruction.parquet").unlink()
    with pytest.raises(FieldError, match="the table 'Instruction' is missing; there are Metadata"):
        read_instructions(profile)


def test_warnings_and_throttling_may_be_absent(profile: Path) -> None:
    assert read_notes(profile) == {**METADATA[0], "warnings": [], "throttled_us": 0}
    write(profile / "Warning.parquet", [{"message": "notifications were lost"}])
    write(profile / "Throttle.parquet", [{"duration": 1500}, {"duration": 500}])
    notes = read_notes(profile)
    assert (notes["warnings"], notes["throttled_us"]) == (["notifications were lost"], 2)


@pytest.mark.parametrize(
    ("said", "name"),
    [("PE", "tensor"), ("Act", "scalar"), ("pool", "gpsimd"), ("SP", "sync"), ("VectorEngine", "vector"), ("q1", "q")],
)
def test_engines_are_called_as_nkisim_does(said: str, name: str) -> None:
    assert engine_name(said) == name


def test_latencies_are_those_of_the_runs() -> None:
    found = read_latencies({"durations_ms": [0.03, 0.01, 0.02], "iterations": 3}, "here").as_json()
    assert found == pytest.approx({"median_us": 20, "min_us": 10, "max_us": 30, "p99_us": 30, "runs": 3})


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"iterations": 1}, "the field 'durations_ms' is missing; there are iterations"),
        ({"durations_ms": [1.0]}, "the field 'iterations' is missing; there are durations_ms"),
        ({"durations_ms": [], "iterations": 0}, "durations_ms should be a list of numbers"),
        ({"durations_ms": [1.0, None], "iterations": 2}, "durations_ms should be a number"),
        ({"durations_ms": [1.0], "iterations": 2}, "durations_ms has 1 entries, iterations is 2"),
        ([], "should be an object"),
    ],
)
def test_a_result_that_is_none_is_refused(document: Any, problem: str) -> None:
    with pytest.raises(FieldError, match=f"here: {problem}"):
        read_latencies(document, "here")


def test_files_that_are_absent_or_broken_are_named(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="has the step before been run"):
        read_json(tmp_path / "time.json")
    (tmp_path / "time.json").write_text("{")
    with pytest.raises(FieldError, match="no JSON"):
        read_json(tmp_path / "time.json")
