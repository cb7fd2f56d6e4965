"""The trace: parsed again and checked as a viewer would."""

import contextlib
import io
import itertools
import json
from collections import defaultdict

import numpy as np
import pytest
from support.hand_made import HandMade, transfer_cost

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import Simulator
from nkisim.machine import load_machine
from nkisim.observe import Capacity
from nkisim.report.perfetto import save_perfetto
from nkisim.report.prediction import Prediction


def parse(path):
    """Events by phase."""
    events = defaultdict(list)
    for event in json.loads(path.read_text("utf-8"))["traceEvents"]:
        events[event["ph"]].append(event)
    return events


def instructions(events):
    """The slices of instructions, without those of functions around them."""
    return [event for event in events["X"] if event.get("cat") != "function"]


def slices_by_track(events, nanoseconds):
    """(begin, end) of the instructions of each track, in order."""
    tracks = defaultdict(list)
    for event in instructions(events):
        begin = nanoseconds(event["ts"])
        tracks[event["pid"], event["tid"]].append((begin, begin + nanoseconds(event["dur"])))
    return {track: sorted(slices) for track, slices in tracks.items()}


@pytest.fixture(scope="module")
def trace(two_cores, tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    two_cores.save_perfetto(path)
    return parse(path)


@pytest.mark.parametrize("nanoseconds", [lambda us: us * 1e3, lambda us: int(us * 1e3), lambda us: round(us * 1e3)],
                         ids=["exact", "cut off", "rounded"])  # fmt: skip
def test_nothing_on_a_track_overlaps_however_a_viewer_reads_the_times(trace, nanoseconds):
    for track, slices in slices_by_track(trace, nanoseconds).items():
        for (_, end), (begin, _) in itertools.pairwise(slices):
            assert end <= begin + 1e-6, track


def test_every_instruction_is_there_once(trace, two_cores):
    whole = [event for event in instructions(trace) if not event["name"].startswith("issue ")]
    assert len(whole) == len(two_cores.prediction.timeline.tasks)
    seen = {(event["pid"], event["args"]["index"]) for event in whole}
    assert len(seen) == len(whole)


def test_slices_carry_the_kernel_line_operands_and_sizes(trace):
    matmul = next(event for event in trace["X"] if event["name"] == "nc_matmul")
    assert matmul["args"]["line"].startswith("tests/support/timed_kernels.py:")
    assert matmul["args"]["reads"] == ["sbuf 128x128 bfloat16", "sbuf 128x128 bfloat16"]
    assert matmul["args"]["writes"] == ["psum 128x128 float32"]
    assert [matmul["args"][size] for size in ("M", "K", "N", "flops")] == [128, 128, 128, 2 * 128**3]
    assert matmul["args"]["queue"] == "tensor"
    load = next(event for event in trace["X"] if event["name"] == "dma_copy")
    assert load["args"]["reads"] == ["x: shared_hbm 128x128 bfloat16"]
    assert load["args"]["bytes"] == 128 * 128 * 2
    assert load["args"]["descriptors"] > 0


def test_critical_instructions_are_marked_as_such_by_a_boolean(trace, two_cores):
    marked = [event["args"]["critical"] for event in instructions(trace)]
    assert set(marked) == {True, False}
    assert sum(marked) == len({step.task for step in two_cores.prediction.path.steps})


def test_the_turns_of_a_line_are_counted(trace):
    matmuls = [event for event in instructions(trace) if event["name"] == "nc_matmul" and event["pid"] == 0]
    assert sorted(event["args"]["turn"] for event in matmuls) == [0, 1, 2]


def halves(x):
    """Two calls of one function, from one line."""
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    for half in range(2):
        doubled(out[64 * half : 64 * half + 64], x[64 * half : 64 * half + 64])
    return out


def doubled(out, x):
    rows = nl.load(x)
    nisa.tensor_scalar(dst=rows, data=rows, op0=nl.multiply, operand0=2.0)
    nisa.dma_copy(dst=out, src=rows)


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    path = tmp_path_factory.mktemp("nested") / "trace.json"
    Simulator("trn2").run(halves, np.ones((128, 64), np.float32)).profile.save_perfetto(path)
    return parse(path)


def test_functions_stand_around_what_they_issue_with_the_number_of_the_call(nested):
    functions = [event for event in nested["X"] if event.get("cat") == "function"]
    assert {event["name"] for event in functions} == {"halves", "doubled", "doubled 1"}
    assert {event["args"]["stage"] for event in functions} == {"test_perfetto.py:halves", "test_perfetto.py:doubled"}
    line = halves.__code__.co_firstlineno + 4
    inner = [event["args"] for event in functions if event["name"].startswith("doubled")]
    assert {args["call"] for args in inner} == {0, 1}
    assert all(args["called from"].endswith(f"test_perfetto.py:{line}") for args in inner)


def test_slices_of_a_row_lie_within_each_other_or_apart(nested, trace):
    for events in (nested, trace):
        rows = defaultdict(list)
        for event in events["X"]:
            begin = int(event["ts"] * 1e3)
            rows[event["pid"], event["tid"]].append((begin, begin + round(event["dur"] * 1e3)))
        for slices in rows.values():
            around = []
            for begin, end in slices:
                while around and around[-1] <= begin:
                    around.pop()
                assert not around or end <= around[-1]
                around.append(end)


def test_a_process_is_a_core_and_a_track_an_engine_or_a_queue(trace):
    processes = {e["pid"]: e["args"]["name"] for e in trace["M"] if e["name"] == "process_name"}
    assert processes == {
        0: "NeuronCore 0 (trn2, predicted)", 1: "NeuronCore 1 (trn2, predicted)", 2: "HBM stack (predicted)",
    }  # fmt: skip
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in trace["M"] if e["name"] == "thread_name"}
    assert set(names) == set(slices_by_track(trace, float))
    for core in (0, 1):
        own = [name for (pid, _), name in names.items() if pid == core]
        assert len(own) == len(set(own))
        assert {"Tensor", "Vector", "Scalar", "GpSimd"} < set(own)


def test_every_arrow_leaves_a_slice_and_lands_in_a_later_one(trace):
    starts, ends = {e["id"]: e for e in trace["s"]}, {e["id"]: e for e in trace["f"]}
    assert starts.keys() == ends.keys()
    assert len(starts) > 5
    tracks = slices_by_track(trace, lambda us: int(us * 1e3))
    for number, start in starts.items():
        for event in (start, ends[number]):
            at = int(event["ts"] * 1e3)
            assert any(begin <= at < end for begin, end in tracks[event["pid"], event["tid"]]), event
        assert ends[number]["bp"] == "e"
        assert start["ts"] <= ends[number]["ts"]
        assert (start["pid"], start["tid"]) != (ends[number]["pid"], ends[number]["tid"])


def test_counters_come_in_order_and_stay_within_the_hardware(trace, two_cores):
    machine = load_machine("trn2")
    counters = defaultdict(list)
    for event in trace["C"]:
        counters[event["pid"], event["name"]].append((event["ts"], event["args"]["value"]))
    assert {name for _, name in counters} == {"SBUF bytes a partition", "PSUM banks", "DMA GB/s", "HBM GB/s"}
    for (_, name), points in counters.items():
        times = [at for at, _ in points]
        assert times == sorted(times)
        assert all(value >= 0 for _, value in points)
        assert points[-1][1] == 0, name
        if name == "SBUF bytes a partition":
            assert max(value for _, value in points) == two_cores.sbuf_peak_bytes
        if name == "PSUM banks":
            assert max(value for _, value in points) == two_cores.psum_peak_banks <= machine.psum_banks


def test_transfers_of_one_queue_that_overlap_go_to_further_lanes(tmp_path):
    made = HandMade()
    for begin in (1000, 1050, 1100):
        made.transfer("dge sync", (0, begin, begin + 90, begin + 100), transfer_cost())
    save_perfetto(tmp_path / "t.json", Prediction(made.timeline), Capacity(made.machine))
    events = parse(tmp_path / "t.json")
    names = [e["args"]["name"] for e in events["M"] if e["name"] == "thread_name"]
    assert names == ["DMA queue sync", "DMA queue sync (2)"]
    assert [len(slices) for slices in slices_by_track(events, float).values()] == [2, 1]


def test_names_are_escaped(tmp_path):
    made = HandMade()
    made.engine("vector", (0, 0, 10, 10))
    made.timeline.tasks[0].name = 'a "quoted"\nname'
    save_perfetto(tmp_path / "t.json", Prediction(made.timeline), Capacity(made.machine))
    assert instructions(parse(tmp_path / "t.json"))[0]["args"]["name"] == 'a "quoted"\nname'


class Writes(io.StringIO):
    """A file that remembers how long each write was. Stands in for a path, too."""

    def __init__(self):
        super().__init__()
        self.lengths = []

    def open(self, *_, **__):
        return contextlib.nullcontext(self)

    def write(self, text):
        self.lengths.append(len(text))
        return super().write(text)


def test_a_trace_is_written_event_by_event(two_cores, monkeypatch):
    file = Writes()
    monkeypatch.setattr("nkisim.report.perfetto.replacing", lambda path: contextlib.nullcontext(file))
    two_cores.save_perfetto("t.json")
    events = json.loads(file.getvalue())["traceEvents"]
    assert len(file.lengths) == len(events) + 2
    assert max(file.lengths) < 1000


def test_a_failed_write_leaves_no_trace(tmp_path, one_core, monkeypatch):
    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("nkisim.report.perfetto.hbm_rate", broken)
    with pytest.raises(OSError, match="disk full"):
        one_core.save_perfetto(tmp_path / "t.json")
    assert list(tmp_path.iterdir()) == []
