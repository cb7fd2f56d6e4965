# SPDX-License-Identifier: Apache-2.0
"""sendrecv: the two cores exchange SBUF tiles."""

from __future__ import annotations

from nkisim.errors import ArgumentError, ShapeError, kernel_location
from nkisim.execution.neuron_core import current_core
from nkisim.memory import NkiTensor, first_unwritten, is_computed, read, resolve
from nkisim.observe import CostClass, Meeting
from nkisim.operations import checks
from nkisim.operations.enums import dma_engine as DmaEngine
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

_SMALL = {4: 1024, 2: 512, 1: 256}


@instruction(cost=CostClass.transfer, on=Engine.dma, meeting=Meeting.exchange)
def sendrecv(
    src: NkiTensor,
    dst: NkiTensor,
    send_to_rank: int,
    recv_from_rank: int,
    pipe_id: int,
    dma_engine: DmaEngine = DmaEngine.dma,
    name: str | None = None,
) -> Operation:
    """Send src to the other core and receive its src into dst.

    Both cores call it with tiles of one shape and type. send_to_rank and recv_from_rank are the other core,
    pipe_id is a number of the exchange. dma_engine.dma takes any tile, gpsimd_dma at most 256 elements a partition.

    ```python
    mine, other = nl.ones((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    peer = 1 - nl.program_id(0)
    nisa.sendrecv(src=mine, dst=other, send_to_rank=peer, recv_from_rank=peer, pipe_id=0)
    ```
    """
    core = current_core()
    checks.generation(3, "sendrecv")
    checks.in_sbuf(("src", src), ("dst", dst))
    checks.same_dtype("src", src, "dst", dst)
    checks.writable("dst", dst)
    if src.shape != dst.shape:
        raise ShapeError("src and dst have one shape", f"{src.shape} and {dst.shape}", "Slice one of them.")
    other = 1 - core.identity
    if core.count != 2 or (send_to_rank, recv_from_rank) != (other, other):
        raise ArgumentError(
            "sendrecv is with the other core of a two-core launch",
            f"send to {send_to_rank}, receive from {recv_from_rank} on core {core.identity} of {core.count}",
            "Use rank 1 - nl.program_id(0) for both.",
        )
    limit = _SMALL.get(src.dtype.itemsize, 256)
    if dma_engine is DmaEngine.gpsimd_dma and checks.free_size(src) * src.dtype.itemsize > limit:
        raise ShapeError(
            f"gpsimd_dma moves at most {limit} bytes a partition of {src.dtype}",
            f"{checks.free_size(src) * src.dtype.itemsize}",
            "Use dma_engine.dma.",
        )
    sent = resolve(src)
    first_unwritten(sent)  # defines bytes nobody wrote; the finding comes with the event
    offer = (src.shape, str(src.dtype), read(sent).copy(), is_computed(sent))
    offers = core.meet(f"sendrecv on pipe {pipe_id}", kernel_location(), offer)
    shape, dtype, values, is_known = offers[other]
    if (shape, dtype) != (dst.shape, str(dst.dtype)):
        raise ShapeError(
            "both cores exchange equal tiles",
            f"{dtype}{shape} arrives for {dst.dtype}{dst.shape}",
            "Match them.",
        )
    details = {"pipe": pipe_id, "path": dma_engine.name}
    return Operation(
        Engine.dma, (src,), (dst,), lambda _: values, details=details, name=name, hidden_input=not is_known,
        state_decides=True,
    )  # fmt: skip
