"""Codes that stop a run, or do not, where NKISIM_REFUSE and NKISIM_ALLOW say so."""

import pytest
from support.device import store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, NeighbouringSum, NkiValidationError, ViewError


def two_sums_in_a_bank():
    sums = nl.ndarray((8, 16), nl.float32, buffer=nl.psum)
    for first in (0, 0, 8, 8):
        nisa.nc_matmul(sums[:, first : first + 8], tile((8, 8)), tile((8, 8)))
    nisa.tensor_copy(result := tile((8, 16)), sums)
    return store(result)


def stationary_with_two_free_dimensions():
    weights = tile((8, 4, 8))[:, :, 0:2]
    nisa.nc_matmul(product := nl.ndarray((8, 8), nl.float32, buffer=nl.psum), weights, tile((8, 8)))
    nisa.tensor_copy(result := tile((8, 8)), product)
    return store(result)


def codes(run):
    return [finding.code for finding in run.findings]


def test_a_note_stops_a_run_where_its_code_is_refused(trn2, monkeypatch):
    assert codes(trn2.run(two_sums_in_a_bank)) == ["NKI411"]
    monkeypatch.setenv("NKISIM_REFUSE", "NKI410, NKI411")
    with pytest.raises(NeighbouringSum, match="have a bank each"):
        trn2.run(two_sums_in_a_bank)
    assert codes(trn2.run(two_sums_in_a_bank, report_only=True)) == ["NKI411"]


def test_a_finding_is_kept_where_its_code_is_allowed(trn2, monkeypatch):
    with pytest.raises(ViewError, match="one step describes the columns of stationary"):
        trn2.run(stationary_with_two_free_dimensions)
    monkeypatch.setenv("NKISIM_ALLOW", "NKI201")
    assert codes(trn2.run(stationary_with_two_free_dimensions)) == ["NKI201"]


def test_a_documented_rule_is_none_that_can_be_allowed(trn2, monkeypatch):
    def of_129_partitions():
        tile((129, 1))

    monkeypatch.setenv("NKISIM_ALLOW", "NKI102,NKI201,NKI202")
    with pytest.raises(NkiValidationError, match="129"):
        trn2.run(of_129_partitions)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NKISIM_REFUSE": "NKI999"}, "NKISIM_REFUSE lists codes such as NKI411.*got NKI999"),
        ({"NKISIM_ALLOW": "all"}, "NKISIM_ALLOW lists codes such as NKI411.*got all"),
        ({"NKISIM_REFUSE": "NKI411", "NKISIM_ALLOW": "NKI411"}, "name different codes; got NKI411"),
    ],
)
def test_codes_that_are_none_or_contradict_are_refused(trn2, monkeypatch, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ArgumentError, match=said):
        trn2.run(two_sums_in_a_bank)
