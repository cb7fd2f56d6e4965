"""Which packages, and which of their tests are about kernels."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """A package of the registry whose source distribution has its tests.

    Attributes:
        package, version: what is fetched.
        tests: files of its tests that launch kernels.
        left_out: tests of these files that are about a device or its clock, by a part of their name.
    """

    package: str
    version: str
    tests: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """Its own switches: kernels run by `nki.simulate`, and what stops them is not caught."""
        prefix = self.package.upper()
        return {f"{prefix}_USE_SIMULATOR": "1", f"{prefix}_REQUIRE_NKI": "1"}


@dataclass(frozen=True)
class Row:
    """What became of one suite on one target.

    Attributes:
        counts: tests by outcome: pass, refused, fail, xfail, skipped; "no kernel" are those that launched none.
        refusals: what nkisim refused, with how many tests it stopped.
        is_complete: whether all tests ran in the time they had.
    """

    package: str
    target: str
    counts: dict[str, int]
    refusals: dict[str, int] = field(default_factory=dict)
    is_complete: bool = True


SUITES = (
    Suite(
        "trnblas",
        "0.5.4",
        ("test_nki_sim.py", "test_nki_gemm.py", "test_nki_syrk.py", "test_nki_trsm.py", "test_nki_mp2_energy.py"),
        ("TestAutotuner",),
    ),
    Suite("trntensor", "0.3.0", ("test_nki_sim.py", "test_nki_kernels.py", "test_nki.py"), ("TestXlaResidency",)),
    Suite("trnsparse", "0.6.0", ("test_nki_sim.py", "test_nki_bsr.py")),
    Suite("trnfft", "0.12.0", ("test_complex.py", "test_fft.py")),
    Suite("trnrand", "0.5.0", ("test_nki_sim.py", "test_nki_dispatch.py")),
    Suite("trnsolver", "0.3.0", ("test_eigen.py", "test_factor.py")),
)
