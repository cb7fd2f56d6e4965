"""SBUF and PSUM capacity: what is alive together must fit together."""

import numpy as np
import pytest
from support.device import store

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import CapacityError
from nkisim.machine import load_machine
from nkisim.memory import MemoryRegion
from nkisim.observe import Capacity

SBUF = 212984


def sbuf(size, **options):
    """A tile of `size` bytes a partition, first used here."""
    t = nl.ndarray((128, size), nl.uint8, buffer=nl.sbuf, **options)
    nisa.memset(t[:, : min(size, 65536)], 0)  # as much as one instruction may
    return t


def bank(size=2048, **options):
    t = nl.ndarray((128, size), nl.uint8, buffer=nl.psum, **options)
    nisa.memset(t[:, : min(size, 4096)], 0)
    return t


def use(*tensors):
    """An instruction that reads each tensor, so that it is alive until here."""
    for t in tensors:
        nisa.tensor_copy(t[:, 0:1], t[:, 0:1])


def profile(device, body):
    def kernel():
        body()

    return device.run(kernel).profile


def test_tensors_alive_together_add_up(trn2):
    def body():
        a, b = sbuf(1000), sbuf(500)
        use(a, b)

    assert profile(trn2, body).sbuf_peak_bytes == 1500


def test_a_tensor_lives_from_its_first_to_its_last_use(trn2):
    def body():
        late = nl.ndarray((128, 5000), nl.uint8)
        a = sbuf(1000)
        use(a)
        b = sbuf(800)
        use(b)
        nisa.memset(late, 0)

    assert profile(trn2, body).sbuf_peak_bytes == 5000


def test_a_tensor_never_used_takes_no_room(trn2):
    assert profile(trn2, lambda: nl.ndarray((128, SBUF), nl.uint8)).sbuf_peak_bytes == 0


def test_refuses_more_than_fits_and_names_the_residents(trn2, refuses):
    def body(extra):
        big = sbuf(200_000, name="weights")
        small = sbuf(SBUF - 200_000 + extra, name="tokens")
        use(big, small)

    assert profile(trn2, lambda: body(0)).sbuf_peak_bytes == SBUF
    with refuses(CapacityError, "NKI402", f"{SBUF + 1} bytes", "200000 B sbuf tensor 'weights'", "'tokens'"):
        trn2.attempt(lambda: body(1))


def test_one_after_the_other_both_fit(trn2):
    def body():
        for _ in range(5):
            use(sbuf(SBUF))

    assert profile(trn2, body).sbuf_peak_bytes == SBUF


def test_packs_again_largest_first_where_order_of_use_leaves_no_gap(trn2):
    def body(last):
        a, b, c = sbuf(70_000), sbuf(70_000), sbuf(70_000)
        use(b)
        d = sbuf(last)
        use(a, c, d)

    assert profile(trn2, lambda: body(70_000)).sbuf_peak_bytes == 210_000
    assert profile(trn2, lambda: body(70_001)).sbuf_peak_bytes == 210_001


def test_refuses_what_no_gap_can_hold(trn2, refuses):
    def body(size):
        middle = sbuf(SBUF - 140_000, address=(0, 70_000))
        use(middle, sbuf(size))

    trn2.attempt(lambda: body(70_000))
    with refuses(CapacityError, "NKI402", "no free gap", "70001 B"):
        trn2.attempt(lambda: body(70_001))


def test_explicit_addresses_are_kept_free_for_their_tensors(trn2):
    def body():
        floating = sbuf(1000)
        fixed = sbuf(1000, address=(0, 0))
        use(floating, fixed)

    assert profile(trn2, body).sbuf_peak_bytes == 2000


def test_tensors_at_one_address_count_once(trn2):
    def body():
        a, b = sbuf(1000, address=(0, 512)), sbuf(400, address=(0, 600))
        use(a, b)

    assert profile(trn2, body).sbuf_peak_bytes == 1000


def test_a_psum_tile_lies_in_one_bank_or_starts_one(trn2, refuses):
    def body(count, size):
        use(*[bank(size) for _ in range(count)])

    assert profile(trn2, lambda: body(8, 2048)).psum_peak_banks == 8
    assert profile(trn2, lambda: body(3, 1200)).psum_peak_banks == 3
    assert profile(trn2, lambda: body(4, 1024)).psum_peak_banks == 2
    assert profile(trn2, lambda: body(2, 2049)).psum_peak_banks == 4
    with refuses(CapacityError, "NKI402", "no free gap"):
        trn2.attempt(lambda: body(9, 1200))
    with refuses(CapacityError, "NKI402", "18432 bytes"):
        trn2.attempt(lambda: body(9, 2048))


def test_each_core_has_its_own_memory(trn2):
    def kernel():
        use(sbuf(150_000 if nl.program_id() else 100_000))

    run = trn2.run(kernel, cores=2)
    assert run.profile.sbuf_peak_bytes == 150_000
    capacity = Capacity(load_machine("trn2"))
    trn2.run(kernel, cores=2, observers=[capacity])
    assert capacity.occupancy[0, MemoryRegion.sbuf].peak == 100_000
    assert capacity.occupancy[1, MemoryRegion.sbuf].peak == 150_000


def test_the_report_goes_on_when_asked_to(trn2):
    def kernel():
        a, b = sbuf(200_000), sbuf(200_000)
        use(a, b)
        return store(a[:, 0:4])

    run = trn2.run(kernel, report_only=True)
    assert [finding.code for finding in run.findings] == ["NKI402"]
    assert "holds 212984 bytes" in str(run.findings[0])
    assert run.profile.sbuf_peak_bytes == 400_000
    assert not run.outputs.any()


@pytest.mark.parametrize("seed", range(5))
def test_no_two_placed_tensors_overlap(trn2, seed):

    rng = np.random.default_rng(seed)
    capacity = Capacity(load_machine("trn2"))

    def kernel():
        alive = []
        for _ in range(40):
            alive.append(sbuf(int(rng.integers(1, 9000))))
            if len(alive) > 12:
                use(alive.pop(int(rng.integers(len(alive)))))
        use(*alive)

    trn2.run(kernel, observers=[capacity])
    lives = list(capacity._lifetimes.values())
    for i, a in enumerate(lives):
        for b in lives[i + 1 :]:
            together = a.first <= b.last and b.first <= a.last
            assert not together or a.byte + a.size <= b.byte or b.byte + b.size <= a.byte
