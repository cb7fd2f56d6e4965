"""One kernel of a test of nki-library on nkisim, and its outputs against the test's own reference and tolerance."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from nkimoe.errors import RequestError
from nkisim import NkiValidationError, NotSimulated, Simulator

Array = np.ndarray[Any, np.dtype[Any]]

REJECTED = "[NCC_INKI016] Kernel validation exception:"  # what negative tests look for in the message
_REJECTIONS = (AssertionError, NkiValidationError, ValueError)  # what a negative test may rightly see
_ALIAS_MARK = ".must_alias_input"  # in-place arguments carry it in their name


class WrongNumbers(AssertionError):
    """The kernel ran, and its output is not within the test's tolerance."""


class KernelRaised(Exception):
    """The kernel, or the simulator beneath it, raised while the kernel ran."""


class TestManager:
    """What tests call `test_manager`: it runs each kernel they hand over, and keeps what was observed."""

    def __init__(self, adapt: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> None:
        self._adapt = adapt
        self.findings: list[str] = []
        self.differences: dict[str, float] = {}
        self.wall_s = 0.0
        self.missing: Exception | None = None
        self.older_language = False

    @property
    def trace_mode(self) -> Any:
        """The mode in which the test framework runs kernels on a simulator."""
        from test.utils.common_dataclasses import TraceMode

        return TraceMode.Simulator

    def execute(self, job: Any) -> None:
        """Run `job` (a KernelArgs of the test framework) and compare.

        Raises:
            KernelRaised: an instruction or the kernel itself refused.
            WrongNumbers: outputs differ from the reference by more than the test allows.
        """
        if job.inference_args.collective_ranks > 1:
            raise NotSimulated("one device is simulated", f"{job.inference_args.collective_ranks} ranks", "")
        outputs = self._run(job)
        if job.validation_args is not None:
            self._compare(outputs, job.validation_args)

    def check(
        self,
        kernel: Any,
        args: tuple[Any, ...],
        wanted: Array,
        rtol: float,
        target: str = "trn2",
        output: int = 0,
        **options: Any,
    ) -> None:
        """Run a kernel and compare one output; `rtol` is a share of the largest value wanted.

        Raises:
            KernelRaised, WrongNumbers: as `execute`.
        """
        found = _values(self._simulate(kernel, target, None, args, options)[output])
        self.differences["output"] = relative_l2(found, wanted)
        if found.shape != wanted.shape or not np.all(np.abs(found - wanted) <= rtol * np.abs(wanted).max()):
            raise WrongNumbers(f"output: relative L2 {self.differences['output']}")

    def _run(self, job: Any) -> list[Array]:
        target = job.compiler_input.platform_target.get_compile_target()
        given = {name.removesuffix(_ALIAS_MARK): _copied(value) for name, value in (job.kernel_input or {}).items()}
        adapted = self._adapt(job.kernel_func, given)
        return self._simulate(job.kernel_func, target, job.compiler_input.logical_nc_config, (), adapted)

    def _simulate(
        self, kernel: Any, target: str, lnc: int | None, args: tuple[Any, ...], options: dict[str, Any]
    ) -> list[Array]:
        os.environ["NEURON_PLATFORM_TARGET_OVERRIDE"] = target
        try:
            run = Simulator(target, lnc=lnc, report_only=True).run(kernel, *args, **options)
        except Exception as error:
            if isinstance(error, NotSimulated) or not isinstance(error, _REJECTIONS):
                self.missing = error
            raise KernelRaised(f"{REJECTED} {type(error).__name__}: {error}") from error
        self.findings += [str(finding) for finding in run.findings]
        self.wall_s += run.wall_s
        if run.outputs is None:
            return []
        return list(run.outputs) if isinstance(run.outputs, (list, tuple)) else [run.outputs]

    def _compare(self, outputs: list[Array], wanted: Any) -> None:
        from test.utils.common_dataclasses import LazyGoldenGenerator, normalize_golden_output

        shapes = normalize_golden_output(wanted.golden_output)
        if len(outputs) != len(shapes):
            raise WrongNumbers(f"the kernel returns {len(outputs)} outputs, the reference names {list(shapes)}")
        found = dict(zip(shapes, outputs, strict=True))
        golden = shapes
        if isinstance(wanted.golden_output, LazyGoldenGenerator):
            golden = wanted.golden_output.golden or {}
        wrong = [name for name, value in golden.items() if not self._agrees(name, found[name], value, wanted)]
        if wrong:
            raise WrongNumbers(", ".join(f"{name}: relative L2 {self.differences.get(name)}" for name in wrong))

    def _agrees(self, name: str, output: Array, golden: Any, wanted: Any) -> bool:
        from test.integration.nkilib.utils.comparators import maxAllClose

        if hasattr(golden, "validator"):
            raw = np.frombuffer(np.ascontiguousarray(output).tobytes(), np.uint8)
            return bool(golden.validator(None).validate(raw))
        if output.dtype.names and not golden.dtype.names and output.dtype.itemsize == golden.dtype.itemsize:
            output = output.view(golden.dtype)  # their framework reads outputs as what the reference holds
        found, right = _values(output), _values(golden)
        if found.size == right.size:
            found = found.reshape(right.shape)
        self.differences[name] = relative_l2(found, right)
        return bool(maxAllClose(found, right, wanted.relative_accuracy, wanted.absolute_accuracy, verbose=1))


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _values(array: Any) -> Array:
    from conformance.stand_ins.neuron_dtypes import unpack

    array = np.asarray(array)
    return unpack(array) if array.dtype.names else array.astype(np.float32)


def relative_l2(found: Array, right: Array) -> float:
    """|found - right| / |right|, the measure nkisim's own tests use."""
    if found.shape != right.shape:
        return float("nan")
    size = float(np.linalg.norm(right.astype(np.float64)))
    return float(np.linalg.norm(found.astype(np.float64) - right)) / (size or 1.0)


def outcome_of(error: BaseException) -> tuple[str, str, BaseException]:
    """Status, code and the exception that says most, of an exception a case ended with."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    last = chain[-1]
    if isinstance(error, WrongNumbers):
        return "fail", "", error
    if isinstance(last, RequestError):
        return "refused", "", last
    if isinstance(last, NkiValidationError):
        return "refused", getattr(last, "code", "NKI000"), last
    return "error", type(last).__name__, last
