"""Events and counters: what observers are told about each instruction."""

import numpy as np
import pytest
from support.device import hbm, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.observe import Finding, Observer, Recorder


def test_events_are_numbered_in_program_order_on_each_core(trn2):
    recorder = Recorder()

    def kernel():
        board = nl.ndarray((2, 4), nl.float32, buffer=nl.shared_hbm)
        for _ in range(2):
            nisa.memset(tile((4, 4)), 0)
            nisa.core_barrier(board, (0, 1))

    trn2.run(kernel, cores=2, observers=[recorder])
    for core in (0, 1):
        mine = [event for event in recorder.events if event.core == core]
        assert [event.index for event in mine] == list(range(6))
        assert [event.opcode for event in mine] == ["memset", "memset", "core_barrier"] * 2


def test_an_event_says_what_was_touched_and_where(trn2):
    def body():
        a, b = tile((4, 8)), tile((4, 8))
        nisa.tensor_copy(a[:, 2:6], b[:, ::2], name="middle")

    event = trn2.attempt(body)[-1]
    assert event.location.file.endswith("test_events.py")
    assert (event.opcode, event.engine, event.name, event.work.elements) == ("tensor_copy", "vector", "middle", 4)
    read, written = event.reads[0], event.writes[0]
    assert (read.shape, read.strides, read.start, read.nbytes) == ((4, 4), (32, 8), 0, 64)
    assert (written.shape, written.strides, written.start, written.nbytes) == ((4, 4), (32, 4), 8, 64)
    assert read.storage.buffer is nl.sbuf


def test_the_indices_of_a_gather_are_among_the_reads(trn2):
    def body():
        index = tile((4, 1), "int32")
        nisa.dma_copy(tile((4, 8)), hbm((10, 8)).vector_select(0, index))

    event = trn2.attempt(body)[-1]
    assert [read.dtype for read in event.reads] == ["float32", "int32"]
    assert event.reads[0].rows.tolist() == [0, 0, 0, 0]


def test_a_dropped_copy_moves_nothing(trn2):
    def body():
        source = hbm((10, 8)).select(0, nisa.register_alloc(10))
        nisa.dma_copy(tile((1, 8)), source, oob_mode=nisa.oob_mode.skip)

    event = trn2.attempt(body)[-1]
    assert (event.opcode, event.reads, event.writes) == ("dma_copy", (), ())


def test_dependencies_are_kept_on_the_event(trn2):
    def body():
        first = nisa.memset(tile((4, 4)), 0)
        second = nisa.memset(tile((4, 4)), 0)
        third = nisa.memset(tile((4, 4)), 0).depends_on(first).depends_on(second, first)
        assert third.event.after == [first.event.index, second.event.index, first.event.index]

    trn2.attempt(body)


def test_counters_add_up_traffic_and_instructions(trn2):
    def kernel(array):
        t = nl.load(array)
        nisa.tensor_copy(t, t)
        return store(t), store(t)

    data = random_values((16, 8))
    profile = trn2.run(kernel, data).profile
    assert (profile.hbm_read, profile.hbm_written) == (data.nbytes, 2 * data.nbytes)
    assert profile.opcodes == {"dma_copy": 3, "tensor_copy": 1}
    assert profile.instructions == {"dma": 3, "vector": 1}
    assert profile.macs == 0


def test_a_repeated_read_counts_each_time(trn2):
    def kernel(array):
        dst = tile((8, 16))
        nisa.dma_copy(dst, array.broadcast(0, 8))

    assert trn2.run(kernel, random_values((1, 16))).profile.hbm_read == 8 * 16 * 4


def test_rows_that_are_skipped_are_not_counted(trn2):
    def kernel(array, indices):
        nisa.dma_copy(tile((3, 8)), array.vector_select(0, nl.load(indices)), oob_mode=nisa.oob_mode.skip)

    indices = np.array([[1], [99], [2]], np.int32)
    assert trn2.run(kernel, random_values((10, 8)), indices).profile.hbm_read == indices.nbytes + 2 * 8 * 4


@pytest.mark.parametrize(("indices", "named"), [([[1], [99], [2]], 3), ([[1], [99], [99]], 3), (None, None)])
def test_rows_that_are_skipped_are_named_all_the_same(trn2, indices, named):
    def kernel(array, *index):
        rows = array.vector_select(0, nl.load(index[0])) if index else array[0:3]
        nisa.dma_copy(tile((3, 8)), rows, oob_mode=nisa.oob_mode.skip if index else nisa.oob_mode.error)

    recorder = Recorder()
    index = [] if indices is None else [np.array(indices, np.int32)]
    trn2.run(kernel, random_values((10, 8)), *index, observers=[recorder])
    assert recorder.events[-1].indexed_rows == named


def test_one_index_for_a_whole_access_names_no_rows(trn2):
    recorder = Recorder()

    def kernel(array, index):
        nisa.dma_copy(tile((3, 8)), array.ap([[8, 3], [1, 8]], scalar_offset=nl.load(index)))

    trn2.run(kernel, random_values((10, 8)), np.array([[4]], np.int32), observers=[recorder])
    assert recorder.events[-1].indexed_rows == 0


def test_an_observer_may_report_at_any_time(trn2):
    class Watcher(Observer):
        def on_instruction(self, event):
            return [Finding(ValueError(event.opcode))] if event.opcode == "memset" else []

        def on_finish(self):
            return [Finding(ValueError("done"))]

    run = trn2.run(lambda: store(tile((2, 2))), report_only=True, observers=[Watcher()])
    assert [str(finding) for finding in run.findings] == ["memset", "done"]
