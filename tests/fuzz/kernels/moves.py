"""Statements that move data: transfers, copies between engines, transposes, gathers, scatters, shuffles."""

from __future__ import annotations

from dataclasses import replace

from fuzz.kernels.draft import Draft, Statement, Tile, all_types
from fuzz.kernels.meaning import DTYPES, Unfit

ROWS = (1, 2, 7, 16, 31, 32, 33, 48, 64, 65, 100, 127, 128)


def fresh(draft: Draft, shape: tuple[int, ...], dtype: str, style: str) -> tuple[str, dict[str, str]]:
    """A new argument of the program: its name, and the call that draws it."""
    name = draft.name("x")
    return name, {name: f"draw({draft.number(0, 10**6)}, {shape}, {dtype!r}, {style!r})"}


def load(draft: Draft) -> Statement:
    """An argument, or a strided part of it, into SBUF; the types may differ."""
    rows, columns, step = draft.choose(*ROWS), draft.number(1, 150), draft.choose(1, 1, 1, 2, 3)
    above, before = draft.number(0, 40), draft.number(0, 5)
    dtype = draft.dtype()
    shape = (draft.cores, above + rows, before + columns * step)
    name, inputs = fresh(draft, shape, dtype, draft.choose("small", "small", "normal", "wide"))
    part = f"{name}[core, {above}:{above + rows}, {before}:{before + columns * step}:{step}]"
    tile = Tile(draft.name("t"), (rows, columns), dtype if draft.chance(0.7) else draft.dtype())
    kernel = [tile.made, f"nisa.dma_copy(dst={tile.name}, src={part})"]
    return Statement(kernel, [f"{tile.name} = to({part}, {tile.dtype!r})"], tile, inputs=inputs)


def load_by_language(draft: Draft) -> Statement:
    """The same by nl.load."""
    rows, columns, dtype = draft.choose(*ROWS), draft.number(1, 100), draft.dtype()
    name, inputs = fresh(draft, (rows, columns), dtype, "small")
    tile = Tile(draft.name("t"), (rows, columns), dtype)
    return Statement([f"{tile.name} = nl.load({name})"], [f"{tile.name} = {name}.copy()"], tile, inputs=inputs)


def copy(draft: Draft) -> Statement:
    """tensor_copy on any engine that reaches both sides, with a cast."""
    source = draft.pick()
    rows, columns = draft.number(1, source.shape[0]), draft.number(1, source.shape[1])
    engine = draft.choose("unknown", "vector", "scalar", "gpsimd")
    buffers = ("sbuf",) if engine == "gpsimd" else draft.buffers
    if engine == "gpsimd" and source.buffer == "psum":
        raise Unfit("GpSimd does not reach PSUM")
    view = draft.view(source, rows, columns)
    where = draft.result((rows, columns), all_types(draft), (source,), buffers)
    return draft.says(f"nisa.tensor_copy(dst={{dst}}, src={view}, engine=nisa.engine.{engine})", view, where)


def fill(draft: Draft) -> Statement:
    """memset of part of a tile that there is."""
    tile = draft.pick()
    view = draft.view(tile, draft.number(1, tile.shape[0]), draft.number(1, tile.shape[1]))
    value = draft.number(0, 9)
    return Statement([f"nisa.memset({view}, {value})"], [f"{view} = {value}"])


def transpose(draft: Draft) -> Statement:
    """On the PE into PSUM, on the Vector Engine, or by DMA."""
    source = draft.pick(lambda tile: tile.buffer == "sbuf")
    how = draft.choose("tensor", "vector", "dma")
    most = 32 if how == "vector" else 128
    rows, columns = (draft.number(1, min(size, most)) for size in source.shape)
    if how == "dma" and DTYPES[source.dtype].itemsize not in (2, 4):
        raise Unfit("DMA transposes 2 and 4 bytes")
    view = draft.view(source, rows, columns)
    buffers = ("psum",) if how == "tensor" else ("sbuf",)
    if how == "tensor" and "psum" not in draft.buffers:
        raise Unfit("PSUM is full")
    where = draft.new((columns, rows), source.dtype, buffers[0])
    engine = f", engine=nisa.engine.{how}"
    call = f"nisa.dma_transpose({{dst}}, {view})" if how == "dma" else f"nisa.nc_transpose({{dst}}, {view}{engine})"
    return draft.says(call, f"{view}.T", where)


def shuffle(draft: Draft) -> Statement:
    """Rows within each quadrant."""
    source = draft.pick(lambda tile: tile.shape[0] % 32 == 0)
    mask = [draft.number(0, 31) for _ in range(32)]
    where = draft.new(source.shape, source.dtype)
    call = f"nisa.nc_stream_shuffle({{dst}}, {source.name}, {mask})"
    return draft.says(call, f"shuffled({source.name}, {mask})", where)


def gather_columns(draft: Draft) -> Statement:
    """nc_n_gather or local_gather, with indices from an argument."""
    grouped = draft.chance(0.5)
    source = draft.pick(lambda tile: tile.buffer == "sbuf" and (not grouped or tile.shape[0] % 16 == 0))
    rows, count = source.shape[0], draft.number(1, 20)
    kind = "uint16" if grouped else "uint32"
    name, inputs = fresh(draft, (rows, count), kind, f"below {source.shape[1]}")
    index = Tile(draft.name("i"), (rows, count), kind)
    tile = Tile(draft.name("t"), (rows, count * 16 if grouped else count), source.dtype)
    opcode = "local_gather" if grouped else "nc_n_gather"
    kernel = [index.made, f"nisa.dma_copy({index.name}, {name})", tile.made,
              f"nisa.{opcode}({tile.name}, {source.name}, {index.name})"]  # fmt: skip
    taken = (
        f"gathered_in_groups({source.name}, {name})"
        if grouped
        else f"np.take_along_axis({source.name}, {name}.astype(int), 1)"
    )
    return Statement(kernel, [f"{tile.name} = {taken}"], tile, inputs=inputs)


def gather_rows(draft: Draft) -> Statement:
    """Rows of an argument by DMA; ids out of bounds leave what was there."""
    rows, columns, many, dtype = draft.choose(*ROWS[1:]), draft.number(1, 60), draft.number(1, 200), draft.dtype()
    table, inputs = fresh(draft, (many, columns), dtype, "wide")
    ids, more = fresh(draft, (rows, 1), "int32", "ids")
    index, tile = Tile(draft.name("i"), (rows, 1), "int32"), Tile(draft.name("t"), (rows, columns), dtype)
    kernel = [
        index.made, f"nisa.dma_copy({index.name}, {ids})", tile.made, f"nisa.memset({tile.name}, 3)",
        f"nisa.dma_copy({tile.name}, {_rows_of(table, rows, columns, index.name)}, oob_mode=nisa.oob_mode.skip)",
    ]  # fmt: skip
    value = f"gathered({table}, {ids}, np.full({(rows, columns)}, 3).astype(DTYPES[{dtype!r}]))"
    return Statement(kernel, [f"{tile.name} = {value}"], tile, inputs=inputs | more)


def scatter_rows(draft: Draft) -> Statement:
    """Rows of a tile into a tensor in HBM, some out of bounds; and what the tensor holds then, as far as 128 rows."""
    source = draft.pick(lambda tile: tile.buffer == "sbuf" and tile.shape[0] > 1)
    (rows, columns), many = source.shape, draft.number(1, 128)
    old, inputs = fresh(draft, (many, columns), source.dtype, "small")
    ids, more = fresh(draft, (rows, 1), "int32", "ids")
    index, table = Tile(draft.name("i"), (rows, 1), "int32"), draft.name("h")
    tile = Tile(draft.name("t"), (many, columns), source.dtype)
    kernel = [
        f"{table} = nl.ndarray({(many, columns)}, nl.{source.dtype}, buffer=nl.private_hbm)",
        f"nisa.dma_copy({table}, {old})", index.made, f"nisa.dma_copy({index.name}, {ids})",
        f"nisa.dma_copy({_rows_of(table, rows, columns, index.name)}, {source.name}, oob_mode=nisa.oob_mode.skip)",
        tile.made, f"nisa.dma_copy({tile.name}, {table})",
    ]  # fmt: skip
    meaning = [f"{tile.name} = scattered({old}, {ids}, {source.name})"]
    return Statement(kernel, meaning, tile, inputs=inputs | more)


def _rows_of(table: str, rows: int, columns: int, index: str) -> str:
    return f"{table}.ap(pattern=[[{columns}, {rows}], [1, {columns}]], vector_offset={index}, indirect_dim=0)"


def exchange(draft: Draft) -> Statement:
    """sendrecv: each core gets part of the other's tile."""
    if draft.cores != 2:
        raise Unfit("one core")
    source = draft.pick(lambda tile: tile.buffer == "sbuf")
    shape = draft.number(1, source.shape[0]), draft.number(1, source.shape[1])
    view, peer = draft.view(source, *shape), draft.name("p")
    small = shape[1] <= 256  # what GpSimd's own DMA moves of any type
    path = draft.choose("dma", "gpsimd_dma") if small else "dma"
    where = draft.result(shape, (source.dtype,), (source,))
    call = f"nisa.sendrecv({view}, {{dst}}, 1 - core, 1 - core, 0, nisa.dma_engine.{path})"
    return replace(draft.says(call, peer, where), exchange=(peer, view))


def store(draft: Draft, tile: Tile | None = None) -> Statement:
    """Part of a tile, or all of a given one, as an output."""
    source = tile or draft.pick()
    shape = source.shape if tile else (draft.number(1, source.shape[0]), draft.number(1, source.shape[1]))
    view, name = (source.name if tile else draft.view(source, *shape)), draft.name("out")
    kernel = [f"{name} = nl.ndarray({(draft.cores, *shape)}, nl.{source.dtype}, buffer=nl.shared_hbm)"]
    if source.buffer == "psum":
        sbuf = Tile(draft.name("s"), shape, source.dtype)
        kernel += [sbuf.made, f"nisa.tensor_copy({sbuf.name}, {view})"]
        kernel.append(f"nisa.dma_copy(dst={name}[core], src={sbuf.name})")
    else:
        kernel.append(f"nisa.dma_copy(dst={name}[core], src={view})")
    return Statement(kernel, [f"{name} = {view}.copy()"], output=(name, True))


MOVES = (
    load,
    load,
    load_by_language,
    copy,
    copy,
    fill,
    transpose,
    shuffle,
    gather_columns,
    gather_rows,
    scatter_rows,
    exchange,
    store,
)
