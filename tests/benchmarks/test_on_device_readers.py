"""Readers of what nrtpy and neuron-explorer write, on files of the published schemas, and on ones that are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from on_device.explorer_summary import read_summary
from on_device.explorer_tables import engine_name, profile_folder, read_instructions, read_notes
from on_device.fields import FieldError, read_json
from on_device.instruction_table import by_line, by_opcode
from on_device.nrt_results import read_latencies
from on_device.probes import PROFILE_PROBES
from support.played_device import PlayedDevice, traced

from nkisim.machine import load_machine

SUMMARY: dict[str, Any] = {
    "total_time": 120e-6, "dma_active_time": 80e-6, "hbm_read_bytes": 4096, "hbm_write_bytes": 1024,
    **{f"{engine}_engine_active_time": 10e-6 for engine in ("tensor", "vector", "scalar", "gpsimd", "sync")},
    **{f"{engine}_engine_instruction_count": 7 for engine in ("tensor", "vector", "scalar", "gpsimd", "sync")},
    "mfu_estimated_percent": 0.1,
}  # fmt: skip


def renamed(document: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in document.items()}


def test_latencies_are_read_from_a_benchmark_result() -> None:
    device = PlayedDevice(load_machine("trn2"), noise=0.05, seed=3)
    benchmark = device.benchmark(traced("trn2", "dma loads", 0))
    found = read_latencies(json.loads(json.dumps(benchmark)), "benchmark.json")
    assert found.runs_ns == pytest.approx([each * 1e6 for each in benchmark["durations_ms"]])
    said = found.as_json()
    assert said["runs"] == 100
    assert said["min_us"] <= said["median_us"] <= said["p99_us"] <= said["max_us"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"iterations": 1}, "field 'durations_ms' is missing; there are iterations"),
        ({"durations_ms": [1.0]}, "field 'iterations' is missing; there are durations_ms"),
        ({"durations_us": [1.0], "iterations": 1}, "field 'durations_ms' is missing; there are durations_us"),
        ({"durations_ms": [1.0, 2.0], "iterations": 3}, "durations_ms has 2 entries, iterations is 3"),
        ({"durations_ms": ["1"], "iterations": 1}, "durations_ms should be a number, got '1'"),
        ({"durations_ms": [], "iterations": 0}, "durations_ms should be a list of numbers"),
        ([], "should be an object"),
    ],
)
def test_a_benchmark_result_that_is_not_one_is_refused_by_the_name_of_its_field(document: Any, said: str) -> None:
    with pytest.raises(FieldError, match=said):
        read_latencies(document, "benchmark.json")


@pytest.mark.parametrize("document", [SUMMARY, {"profile_0": SUMMARY}])
def test_a_summary_of_one_core_is_read_with_and_without_its_name(document: Any) -> None:
    found = read_summary(document, "summary.json")
    assert found.total_us == pytest.approx(120)
    assert found.busy_us == pytest.approx(
        dict.fromkeys(("tensor", "vector", "scalar", "gpsimd", "sync"), 10) | {"dma": 80}
    )
    assert (found.hbm_read, found.hbm_written, found.instructions["vector"]) == (4096, 1024, 7)


def test_a_summary_of_two_cores_counts_all_and_averages_time() -> None:
    slower = {**SUMMARY, "total_time": 150e-6, "vector_engine_active_time": 30e-6}
    found = read_summary({"core 0": SUMMARY, "core 1": slower}, "summary.json")
    assert found.total_us == pytest.approx(150)
    assert found.busy_us["vector"] == pytest.approx(20)
    assert found.instructions["vector"] == 14


@pytest.mark.parametrize("name", [name for name in SUMMARY if name != "mfu_estimated_percent"])
def test_a_missing_or_renamed_field_of_a_summary_is_named(name: str) -> None:
    with pytest.raises(FieldError, match=f"the field '{name}' is missing; there are .*renamed"):
        read_summary({"core 0": renamed(SUMMARY, name, "renamed")}, "summary.json")


def test_a_file_that_is_not_there_or_no_json_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="has the step before been run"):
        read_json(tmp_path / "summary.json")
    (tmp_path / "summary.json").write_text("fatal: no such profile", "utf-8")
    with pytest.raises(FieldError, match=r"summary\.json: no JSON"):
        read_json(tmp_path / "summary.json")


@pytest.mark.parametrize(
    ("said", "name"), [("Tensor", "tensor"), ("vector", "vector"), ("Pool", "gpsimd"), ("qActivation", "qactivation")]
)
def test_engines_of_profiles_have_names_of_ours(said: str, name: str) -> None:
    assert engine_name(said) == name


def parquet_files(folder: Path, tables: dict[str, list[dict[str, Any]]]) -> Path:
    """An ingested profile: a file a table."""
    pyarrow = pytest.importorskip("pyarrow", reason="the extra device is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra device is not installed")
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


def row(n: int = 0, **other: Any) -> dict[str, Any]:
    """A row of the table Instruction."""
    return {
        "start_ts": 100 * n, "end_ts": 100 * n + 40, "duration_ns": 40, "engine": "vector", "opcode": "TENSOR_TENSOR",
        "operands": "", "id": n, "pc": n, "bir_id": "sg0000:1", "pcore_idx": 0,
        "nki_source_location": "/a/b/stage.py:12", **other,
    }  # fmt: skip


def test_a_table_of_instructions_is_read_in_order_of_time(tmp_path: Path) -> None:
    folder = parquet_files(tmp_path / "p", {"Instruction": [row(1), row(0, engine="PE", opcode="MATMUL")]})
    first, second = read_instructions(folder)
    assert (first.engine, first.opcode, first.start_ns, first.is_matmul) == ("tensor", "MATMUL", 0.0, True)
    assert (second.engine, second.duration_ns, second.line) == ("vector", 40.0, "stage.py:12")
    assert [(each.what, each.instructions, each.busy_us) for each in by_line([first, second])] == [
        ("stage.py:12", 2, 0.08)
    ]
    assert {each.what for each in by_opcode([first, second])} == {"MATMUL", "TENSOR_TENSOR"}


def test_a_table_may_be_split_over_numbered_files_and_lack_lines(tmp_path: Path) -> None:
    plain = {name: value for name, value in row().items() if name != "nki_source_location"}
    folder = parquet_files(
        tmp_path / "p", {"Instruction_0": [plain], "Instruction_1": [plain], "InstructionX": [plain]}
    )
    assert [each.line for each in read_instructions(folder)] == ["", ""]


@pytest.mark.parametrize("name", ["engine", "opcode", "start_ts", "duration_ns"])
def test_a_missing_or_renamed_column_is_named(name: str, tmp_path: Path) -> None:
    folder = parquet_files(tmp_path / "p", {"Instruction": [renamed(row(), name, "renamed")]})
    with pytest.raises(FieldError, match=f"the column '{name}' is missing; there are .*renamed.*show-profile-schema"):
        read_instructions(folder)


def test_a_missing_table_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    folder = parquet_files(tmp_path / "p", {"Summary": [SUMMARY]})
    with pytest.raises(FieldError, match="the table 'Instruction' is missing; there are Summary"):
        read_instructions(folder)


def test_notes_tell_versions_warnings_and_throttling(tmp_path: Path) -> None:
    folder = parquet_files(
        profile_folder(tmp_path, "case"),
        {
            "Metadata": [{"profile_schema_version": "12.0.1", "instance_type": "trn2.3xlarge"}],
            "Warning": [{"message": "lost events", "category": "Missing Data"}],
            "Throttle": [{"duration": 1500, "k": 7, "n": 8, "timestamp": 1, "type": "activity_0"}],
        },
    )
    assert read_notes(folder) == {
        "profile_schema_version": "12.0.1", "instance_type": "trn2.3xlarge", "warnings": ["lost events"],
        "throttled_us": 1.5,
    }  # fmt: skip


def test_the_clock_is_read_from_tables_as_from_the_device(tmp_path: Path) -> None:
    (probe,) = PROFILE_PROBES.values()
    played = PlayedDevice(load_machine("trn2")).instructions(probe)
    rows = [
        row(engine=p.engine, opcode=p.opcode, start_ts=round(p.start_ns), duration_ns=round(p.duration_ns))
        for p in played
    ]
    found = probe.read(read_instructions(parquet_files(tmp_path / "p", {"Instruction": rows})))
    assert found["pe_time.window"][0] == pytest.approx(3413.3, rel=0.002)
    assert found["pe_time.window_use"][0] < 0.375 < found["pe_time.window_use"][1]
