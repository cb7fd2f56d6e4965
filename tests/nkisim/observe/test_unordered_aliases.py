"""Two engines at one address through two tensors: a note, unless the order follows from more than the address."""

import numpy as np
import pytest
from support.device import random_values, store, tile

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DeviceRisk

VECTOR, SCALAR, GPSIMD = nisa.engine.vector, nisa.engine.scalar, nisa.engine.gpsimd


def at(byte=0, buffer=nl.sbuf, name=""):
    return nl.ndarray((8, 16), nl.float32, buffer=buffer, address=(0, byte), name=name)


def findings(body, **options):
    """Of a kernel with this body, in both orders of transfers."""

    def kernel(x):
        return store(body(x))

    found = nkisim.Simulator("trn2", timing=False, **options).compare_dma_orders(kernel, random_values((8, 16)))
    return [(finding.code, str(finding)) for finding in found.findings]


def copied(byte=0, engine=SCALAR, same_tensor=False, by=lambda copy, kept: None, last=VECTOR):
    """A tile that the Vector Engine wrote, copied by `engine`; then a tile at `byte` is filled by `last`."""

    def body(x):
        old, kept = at(name="old"), tile((8, 16))
        nisa.memset(old, 1.0, engine=VECTOR)
        copy = nisa.tensor_copy(kept, old, engine=engine)
        new = old if same_tensor else at(byte, name="new")
        by(copy, kept)
        nisa.memset(new, 2.0, engine=last)
        return new

    return body


def wait_for_the_copy(_, kept):
    nisa.tensor_copy(tile((8, 16)), kept, engine=VECTOR)


def wait_in_two_steps(_, kept):
    between = tile((8, 16))
    nisa.tensor_copy(between, kept, engine=GPSIMD)
    nisa.tensor_copy(tile((8, 16)), between, engine=VECTOR)


def wait_through_hbm(_, kept):
    nisa.tensor_copy(tile((8, 16)), nl.load(store(kept)), engine=VECTOR)


def let_another_engine_wait(_, kept):
    nisa.tensor_copy(tile((8, 16)), kept, engine=GPSIMD)


UNORDERED = {
    "write after read": copied(),
    "write after read of some of the bytes": copied(60),
    "write after write": copied(engine=VECTOR, last=GPSIMD),
    "somebody else waits": copied(by=let_another_engine_wait),
}
ORDERED = {
    "one engine": copied(engine=VECTOR),
    "one tensor": copied(same_tensor=True),
    "neighbours": copied(64),
    "the result is read": copied(by=wait_for_the_copy),
    "the result is read by who hands it on": copied(by=wait_in_two_steps),
    "the result goes through HBM": copied(by=wait_through_hbm),
}


@pytest.mark.parametrize("body", UNORDERED.values(), ids=UNORDERED)
def test_notes_two_engines_that_only_an_address_orders(body):
    ((code, text),) = findings(body)
    assert code == "NKI410"
    assert "memset" in text
    assert "'new'" in text
    assert "'old'" in text
    assert "test_unordered_aliases.py" in text


@pytest.mark.parametrize("body", ORDERED.values(), ids=ORDERED)
def test_accepts_two_engines_whose_order_follows_from_more(body):
    assert findings(body) == []


@pytest.mark.parametrize("says_so", [True, False])
def test_a_dependency_that_is_said_orders_them(says_so):
    def body(x):
        old, kept, new = at(), tile((8, 16)), at()
        nisa.memset(old, 1.0, engine=VECTOR)
        copy = nisa.tensor_copy(kept, old, engine=SCALAR)
        fill = nisa.memset(new, 2.0, engine=VECTOR)
        if says_so:
            fill.depends_on(copy)
        return new

    assert [code for code, _ in findings(body)] == ([] if says_so else ["NKI410"])


@pytest.mark.parametrize("banks", [1, 2])
def test_notes_a_psum_bank_that_is_used_again_before_its_result_is_known_to_be_read(banks):
    def body(x):
        loaded, kept = nl.load(x), tile((16, 16))
        for bank in range(2):
            product = nl.ndarray((16, 16), nl.float32, buffer=nl.psum, address=(0, bank % banks * 2048))
            nisa.nc_matmul(product, loaded, loaded)
            nisa.tensor_copy(kept, product, engine=VECTOR)
        return kept

    assert [code for code, _ in findings(body)] == ["NKI410"] * (banks == 1)


def test_can_be_refused(monkeypatch, refuses):
    monkeypatch.setenv("NKISIM_REFUSE", "NKI410")
    with refuses(DeviceRisk, "NKI410", "the vector engine writes", "the scalar engine"):
        findings(UNORDERED["write after read"])


def test_a_run_in_one_order_does_not_look_for_it(trn2):
    run = trn2.run(lambda x: store(UNORDERED["write after read"](x)), np.ones((8, 16), np.float32))
    assert run.findings == []
