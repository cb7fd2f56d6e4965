"""attention_cte: prefill attention, with lengths in whole tiles, ragged, or with queries split over devices."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from calibrate.cases import Case, Work, exactly
from calibrate.nkilib.job import HERE, LONG, TESTS, Configuration, Stated, stated, zeros
from calibrate.readings import LATENCY

KERNEL = "attention_cte"
_TILE = 128
_LONG = 1.2e8  # scores
_ONE_CORE = "test_attention_cte_no_cp_unit"
_ONE_CORE_REMARK = "on one core, which its number fits: twice those of the same shapes on two; its test has two by now"
_FLAGS = {"causal_mask": "causal", "tp_q": "tp_q", "tp_k": "tp_k", "tp_out": "tp_out", "sink": "sink"}


def works() -> list[Work]:
    """One for each configuration; of those that slice queries in both ways, with one number, the contiguous one."""
    module = importlib.import_module(f"{TESTS}.attention.test_attention_cte")
    module.np_random_sample = zeros  # type: ignore[attr-defined]
    found = stated(module.TestRangedAttentionCTEKernels)
    return [_work(row) for row in found if not row.values.get("cp_strided_q_slicing")]


def _work(row: Stated) -> Work:
    batch, queries, keys, prior = _sizes(row.values)
    source, cores = f"nki-library, {row.test}", 1 if row.test == _ONE_CORE else row.values.get("vnc_degree", 2)
    remark = _ONE_CORE_REMARK if row.test == _ONE_CORE else ""
    case = Case(KERNEL, _family(row.values), _name(row.values, cores), source, (_figure(row),), remark)
    return Work(case, partial(row.run, cores=cores), HERE, 4e-9 * batch * queries * (keys + prior) * row.values["d"])


def _figure(row: Stated) -> Any:
    """All numbers of this kernel have three digits, so that none is doubted for that."""
    return exactly(LATENCY, row.latency, "us")


def _sizes(values: Configuration) -> tuple[int, int, int, int]:
    """Batch, length of queries, of keys and of earlier keys."""
    queries = values.get("seqlen_q") or values["q_seqlen_partial"]
    keys = values.get("seqlen_kv") or values["kv_seqlen"]
    return values["bs"], queries, keys, values.get("prior_len") or values.get("kv_seqlen_prior") or 0


def _family(values: Configuration) -> str:
    batch, queries, keys, prior = _sizes(values)
    if batch * queries * (keys + prior) > _LONG:
        return f"{KERNEL}{LONG}"
    if any(length % _TILE for length in (queries, keys, prior)):
        return f"{KERNEL}, ragged"
    return f"{KERNEL}, {'context-parallel' if 'cp_rank_id' in values else 'regular'}"


def _name(values: Configuration, cores: int) -> str:
    """Such as `LNC2 2 x 2048 x 2048 after 4095/4096, d 64 bfloat16 causal sink`."""
    batch, queries, keys, prior = _sizes(values)
    used = values.get("prior_used_len", values.get("kv_prior_used_len"))
    parts = [f"LNC{cores} {batch} x {queries} x {keys}"]
    parts += [f"after {used}/{prior}"] if prior else []
    parts += [f"{values['bs_kv']} of keys"] if values.get("bs_kv", batch) != batch else []
    dtype = values["dtype"]
    parts += [f"d {values['d']} {getattr(dtype, '__name__', dtype)}"]
    parts += [word for name, word in _FLAGS.items() if values.get(name)]
    parts += [f"window {values['sliding_window']}"] if values.get("sliding_window") else []
    parts += [f"rank {values['cp_rank_id']}/{values['cp_degree']}"] if "cp_rank_id" in values else []
    return " ".join(parts)
