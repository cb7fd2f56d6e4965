"""Statements of several lines: matmuls that accumulate, device loops, functions of nl."""

from __future__ import annotations

from fuzz.kernels.draft import Draft, Statement, Tile
from fuzz.kernels.meaning import INTEGERS, Unfit
from fuzz.kernels.moves import ROWS, fresh

MATRICES = ("bfloat16", "float16", "float8_e4m3", "float8_e5m2", "float32")


def matmul(draft: Draft) -> Statement:
    """dst = sum of stationary.T @ moving, in one to four turns, in fp32."""
    if "psum" not in draft.buffers:
        raise Unfit("PSUM is full")
    K, M, N, turns = draft.choose(*ROWS), draft.choose(*ROWS), draft.number(1, 200), draft.number(1, 4)
    kind = draft.choose(*MATRICES)
    other = kind if kind == "float32" else draft.choose(*MATRICES[:-1])
    (s, inputs), (m, more) = fresh(draft, (K, turns * M), kind, "small"), fresh(draft, (K, turns * N), other, "small")
    left, right = Tile(draft.name("w"), (K, turns * M), kind), Tile(draft.name("w"), (K, turns * N), other)
    dst = Tile(draft.name("t"), (M, N), "float32", "psum")
    accumulate = draft.choose("", ", accumulate=k > 0")
    kernel = [
        left.made, f"nisa.dma_copy({left.name}, {s})", right.made, f"nisa.dma_copy({right.name}, {m})", dst.made,
        f"for k in range({turns}):",
        f"    nisa.nc_matmul({dst.name}, {left.name}[:, k * {M} : k * {M} + {M}], "
        f"{right.name}[:, k * {N} : k * {N} + {N}]{accumulate})",
    ]  # fmt: skip
    terms = " + ".join(f"product({s}[:, {k * M}:{k * M + M}], {m}[:, {k * N}:{k * N + N}])" for k in range(turns))
    return Statement(kernel, [f"{dst.name} = {terms}"], dst, inputs=inputs | more)


def matmul_of_tiles(draft: Draft) -> Statement:
    """Of tiles that were computed, where every order of the sum gives the same."""
    a = draft.pick(lambda tile: tile.buffer == "sbuf" and tile.dtype in MATRICES)
    b = draft.pick(lambda tile: tile.buffer == "sbuf" and tile.dtype in MATRICES)
    if "psum" not in draft.buffers or (a.dtype == "float32") != (b.dtype == "float32"):
        raise Unfit("no pair of operands")
    K = min(a.shape[0], b.shape[0])
    M, N = draft.number(1, min(a.shape[1], 128)), draft.number(1, min(b.shape[1], 512))
    left, right = draft.view(a, K, M), draft.view(b, K, N)
    where = draft.new((M, N), "float32", "psum")
    return draft.says(f"nisa.nc_matmul({{dst}}, {left}, {right})", f"product({left}, {right})", where)


def loop(draft: Draft) -> Statement:
    """A device loop over blocks of an argument, its end known or in a register; the sums so far go to an output."""
    rows, columns, most, dtype = draft.choose(*ROWS), draft.number(1, 40), draft.number(1, 4), draft.dtype(*INTEGERS)
    x, inputs = fresh(draft, (most, rows, columns), dtype, "normal")
    total, block = Tile(draft.name("t"), (rows, columns), "float32"), Tile(draft.name("b"), (rows, columns), dtype)
    op, body, out = draft.choose("add", "maximum", "subtract"), draft.name("body"), draft.name("out")
    end = str(most)
    kernel = [total.made, f"nisa.memset({total.name}, 0)", block.made]
    if draft.chance(0.5):
        count, more = fresh(draft, (1, 1), "int32", f"below {most + 1}")
        inputs |= more
        register, number = draft.name("r"), draft.name("n")
        kernel += [
            f"{number} = nl.ndarray((1, 1), nl.int32)", f"nisa.dma_copy({number}, {count})",
            f"{register} = nisa.register_alloc()", f"nisa.register_load({register}, {number})",
        ]  # fmt: skip
        until, end = register, f"int({count}[0, 0])"
    else:
        until = end
    kernel += [
        f"{out} = nl.ndarray({(draft.cores, most, rows, columns)}, nl.float32, buffer=nl.shared_hbm)",
        f"nisa.dma_copy({out}[core], {x})",
        f"def {body}(i):",
        f"    nisa.dma_copy({block.name}, {x}.select(0, i))",
        f"    nisa.tensor_tensor({total.name}, {total.name}, {block.name}, nl.{op})",
        f"    nisa.dma_copy({out}[core].select(0, i), {total.name})",
        f"nl.fori_loop(0, {until}, {body})",
    ]
    meaning = [
        f"{total.name}, {out} = np.zeros({(rows, columns)}, np.float32), of({x})",
        f"for i in range({end}):",
        f"    {total.name} = {out}[i] = alu({op!r}, {total.name}, {x}[i])",
    ]
    return Statement(kernel, meaning, total, (out, True), inputs)


def columns_in_a_loop(draft: Draft) -> Statement:
    """A device loop that writes one column of a tile a turn."""
    a = draft.pick(lambda tile: tile.buffer == "sbuf" and tile.shape[1] <= 40)
    tile, body = Tile(draft.name("t"), a.shape, "float32"), draft.name("body")
    kernel = [
        tile.made, f"nisa.memset({tile.name}, 0)",
        f"def {body}(i):",
        f"    nisa.tensor_scalar({tile.name}[:, nl.ds(i, 1)], {a.name}[:, nl.ds(i, 1)], nl.multiply, 0.3)",
        f"nl.fori_loop(0, {a.shape[1]}, {body}, step=2)",
    ]  # fmt: skip
    meaning = [
        f"{tile.name} = np.zeros({a.shape}, np.float32)",
        f"{tile.name}[:, ::2] = alu('multiply', {a.name}[:, ::2], 0.3)",
    ]
    return Statement(kernel, meaning, tile)


def chain(draft: Draft) -> Statement:
    """A while loop along links between rows of an argument."""
    many, columns = draft.number(1, 9), draft.number(1, 30)
    (x, inputs), (links, more) = (
        fresh(draft, (many, columns), "float32", "normal"),
        fresh(draft, (many, 1), "int32", "chain"),
    )
    total, row, link, register, body = (draft.name(n) for n in ("t", "b", "n", "r", "body"))
    kernel = [
        f"{total}, {row} = nl.zeros((1, {columns}), nl.float32), nl.ndarray((1, {columns}), nl.float32)",
        f"{link}, {register} = nl.ndarray((1, 1), nl.int32), nisa.register_alloc({many - 1})",
        f"def {body}(i):",
        f"    nisa.dma_copy({row}, {x}[nl.ds(i, 1), :])",
        f"    nisa.tensor_tensor({total}, {total}, {row}, nl.add)",
        f"    nisa.dma_copy({link}, {links}[nl.ds(i, 1), :])",
        f"    nisa.register_load(i, {link})",
        "    return i",
        f"nl.while_loop({register}, {body})",
    ]
    meaning = [
        f"{total}, at = np.zeros((1, {columns}), np.float32), {many - 1}",
        "while at:",
        f"    {total}, at = alu('add', {total}, {x}[at : at + 1]), int({links}[at, 0])",
    ]
    return Statement(kernel, meaning, Tile(total, (1, columns), "float32"), inputs=inputs | more)


def language(draft: Draft) -> Statement:
    """A function of nl, with the type of its result."""
    a = draft.pick(lambda tile: tile.dtype not in INTEGERS and tile.buffer == "sbuf")
    b = draft.pick(lambda tile: tile.dtype not in INTEGERS and tile.buffer == "sbuf")
    left, right, shape = draft.pair(a, b)
    dtype, name = draft.choose("float32", "bfloat16", "float16"), draft.name("t")
    call, value, shape = draft.choose(
        (f"add({left}, {right}", f"alu('add', {left}, {right})", shape),
        (f"multiply({left}, {right}", f"alu('multiply', {left}, {right})", shape),
        (f"maximum({left}, {right}", f"alu('maximum', {left}, {right})", shape),
        (f"less({left}, 0.5", f"alu('less', {left}, 0.5)", shape),
        (f"max({left}, axis=1, keepdims=True", f"of({left}).max(1)[:, None]", (shape[0], 1)),
        (f"sum({left}, axis=1, keepdims=True", f"summed({left}, 1)[:, None]", (shape[0], 1)),
        (f"copy({left}", left, shape),
    )
    meaning = [f"{name} = to({value}, {dtype!r})"]
    return Statement([f"{name} = nl.{call}, dtype=nl.{dtype})"], meaning, Tile(name, shape, dtype))


BLOCKS = (matmul, matmul, matmul_of_tiles, loop, columns_in_a_loop, chain, language, language)
