"""Statements of the Vector, Scalar and GpSimd Engines."""

from __future__ import annotations

from fuzz.kernels.draft import Draft, Statement, Tile, all_types
from fuzz.kernels.meaning import FP8, FUNCTIONS, INTEGERS, LOGIC, TRUTH, Unfit

WIDE = ("int32", "uint32")
FIELD = ("add", "subtract", "multiply", "maximum", "minimum")


def two_tiles(draft: Draft) -> Statement:
    """tensor_tensor: in fp32, or exact where all three are 32-bit integers in SBUF."""
    a, b = draft.pick(), draft.pick()
    if a.buffer == b.buffer == "psum":
        raise Unfit("the Vector Engine reads one tile of PSUM")
    left, right, shape = draft.pair(a, b)
    op = draft.choose(*FIELD, *TRUTH, *LOGIC)
    where = draft.result(shape, all_types(draft), (a, b), draft.buffers)
    if all(t.dtype in WIDE and t.buffer == "sbuf" for t in (a, b, where[0])):
        value = f"whole({op!r}, {left}, {right}, {where[0].dtype!r})"
    else:
        value = f"alu({op!r}, {left}, {right})"
    return draft.says(f"nisa.tensor_tensor({{dst}}, {left}, {right}, nl.{op})", value, where)


def bit_tiles(draft: Draft) -> Statement:
    """Bit operations on two tiles of integers of one type, or on one with a number."""
    a = draft.pick(lambda tile: tile.dtype in INTEGERS)
    if draft.chance(0.5):
        b = draft.pick(lambda tile: tile.dtype == a.dtype)
        if a.buffer == b.buffer == "psum":
            raise Unfit("the Vector Engine reads one tile of PSUM")
        left, right, shape = draft.pair(a, b)
        op = draft.choose("bitwise_and", "bitwise_or", "bitwise_xor")
        where = draft.result(shape, (a.dtype,), (a, b))
        return draft.says(
            f"nisa.tensor_tensor({{dst}}, {left}, {right}, nl.{op})", f"bits({op!r}, {left}, {right})", where
        )
    op, number = draft.choose("bitwise_and", "left_shift", "right_shift"), draft.number(0, 7)
    view = draft.view(a, *a.shape)
    where = draft.result(a.shape, (a.dtype,), (a,))
    return draft.says(
        f"nisa.tensor_scalar({{dst}}, {view}, nl.{op}, {number})", f"bits({op!r}, {view}, {number})", where
    )


def with_scalars(draft: Draft) -> Statement:
    """tensor_scalar: one or two operations with a number or an element a partition, either way round."""
    a = draft.pick()
    rows, columns = draft.number(1, a.shape[0]), draft.number(1, a.shape[1])
    view = draft.view(a, rows, columns)
    value, arguments, columns_read = view, "", []
    for i in range(draft.number(1, 2)):
        op, is_reversed = draft.choose(*FIELD, *TRUTH, *LOGIC), draft.chance(0.3)
        operand, column = _operand(draft, rows)
        columns_read += [column] if column else []
        order = (operand, value) if is_reversed else (value, operand)
        value = f"alu({op!r}, {order[0]}, {order[1]})"
        arguments += f", op{i}=nl.{op}, operand{i}={operand}, reverse{i}={is_reversed}"
    where = draft.result((rows, columns), all_types(draft), (a, *columns_read), draft.buffers)
    return draft.says(f"nisa.tensor_scalar({{dst}}, {view}{arguments})", value, where)


def _operand(draft: Draft, rows: int) -> tuple[str, Tile | None]:
    """A number, this core's, or a column of fp32."""
    found = [t for t in draft.tiles if t.dtype == "float32" and t.buffer == "sbuf" and t.shape[0] >= rows]
    if found and draft.chance(0.4):
        tile = draft.choose(*found)
        return draft.view(tile, rows, 1), tile
    number = draft.choose(-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, 0.1)
    return (f"({number} + core)", None) if draft.chance(0.3) else (str(number), None)


def scalar_and_tile(draft: Draft) -> Statement:
    """scalar_tensor_tensor."""
    a, b = draft.pick(), draft.pick()
    if a.buffer == b.buffer == "psum":
        raise Unfit("the Vector Engine reads one tile of PSUM")
    left, right, shape = draft.pair(a, b)
    first, second, number = draft.choose(*FIELD), draft.choose(*FIELD, *TRUTH), draft.choose(-1.0, 0.5, 2.0)
    where = draft.result(shape, all_types(draft), (a, b), draft.buffers)
    call = f"nisa.scalar_tensor_tensor({{dst}}, {left}, nl.{first}, {number}, nl.{second}, {right})"
    return draft.says(call, f"alu({second!r}, alu({first!r}, {left}, {number}), {right})", where)


def scan(draft: Draft) -> Statement:
    """tensor_tensor_scan along the free dimension."""
    a, b = draft.pick(), draft.pick()
    if a.buffer == b.buffer == "psum":
        raise Unfit("the Vector Engine reads one tile of PSUM")
    left, right, shape = draft.pair(a, b)
    op0, op1, start = draft.choose("multiply", "add", "maximum"), draft.choose(*FIELD), draft.choose(0.0, 1.0)
    where = draft.result(shape, all_types(draft), (a, b))
    call = f"nisa.tensor_tensor_scan({{dst}}, {left}, {right}, {start}, nl.{op0}, nl.{op1})"
    return draft.says(call, f"scanned({left}, {right}, {start}, {op0!r}, {op1!r})", where)


def reduce(draft: Draft) -> Statement:
    """tensor_reduce of the last dimension, of two after a reshape, or across partitions."""
    a = draft.pick()
    op = draft.choose("add", "maximum", "minimum")
    if draft.chance(0.25) and a.buffer == "sbuf" and a.dtype != "int32" and op != "minimum":
        where = draft.new((1, a.shape[1]), draft.dtype())
        value = f"summed({a.name}, 0)[None]" if op == "add" else f"of({a.name}).max(0)[None]"
        return draft.says(f"nisa.tensor_partition_reduce({{dst}}, nl.{op}, {a.name})", value, where)
    rows, columns = a.shape
    each = draft.choose(*(n for n in range(1, columns + 1) if columns % n == 0))
    data, axis, kept = f"{a.name}.reshape(({rows}, {columns // each}, {each}))", 2, (rows, columns // each)
    if draft.chance(0.5):
        rows, columns = draft.number(1, rows), draft.number(1, columns)
        data, axis, kept = draft.view(a, rows, columns), 1, (rows, 1)
    sign = draft.choose("", "-")
    value = f"summed({data}, {axis})" if op == "add" else f"of({data}).{op[:3]}({axis})"
    where = draft.result(kept, all_types(draft), (a,))
    call = f"nisa.tensor_reduce({{dst}}, nl.{op}, {data}, axis={axis}, negate={bool(sign)})"
    return draft.says(call, f"{sign}{value}.reshape({kept})", where)


def exact_activation(draft: Draft) -> Statement:
    """op(data * scale + bias) whose bits are known, perhaps with its sum along the free dimension."""
    a = draft.pick()
    op, scale = draft.choose("copy", "relu", "square", "abs"), draft.choose(1.0, 0.5, -2.0)
    rows, columns = a.shape
    inner = f"of({a.name}) * np.float32({scale})"
    value = inner if op == "copy" else f"np.maximum({inner}, 0)" if op == "relu" else f"np.{op}({inner})"
    where = draft.new((rows, columns), draft.dtype(), draft.choose(*draft.buffers))
    call = f"nisa.activation({{dst}}, nl.{op}, {a.name}, scale={scale}"
    if draft.chance(0.6):
        return draft.says(call + ")", value, where)
    total = Tile(draft.name("t"), (rows, 1), "float32")
    made = draft.says(
        call + f", reduce_op=nl.add, reduce_res={total.name}, reduce_cmd=nisa.reduce_cmd.reset_reduce)", value, where
    )
    meaning = [*made.meaning, f"{total.name} = summed({value}, 1)[:, None]"]
    return Statement([total.made, *made.kernel], meaning, total)


def function(draft: Draft) -> Statement:
    """A table of the Scalar Engine, straight to an output: only its value is known, not its last bits."""
    a, name = draft.pick(), draft.choose(*FUNCTIONS)
    x, t, out = draft.name("s"), draft.name("s"), draft.name("out")
    kernel = [
        f"{x} = nl.ndarray({a.shape}, nl.float32)", f"{t} = nl.ndarray({a.shape}, nl.float32)",
        f"nisa.tensor_scalar({x}, {a.name}, nl.maximum, -8.0, op1=nl.minimum, operand1=8.0)",
    ]  # fmt: skip
    if name in ("sqrt", "reciprocal"):
        kernel.append(f"nisa.tensor_scalar({x}, {x}, nl.abs, None, op1=nl.add, operand1=1.0)")
    kernel += [
        f"nisa.activation({t}, nl.{name}, {x})",
        f"{out} = nl.ndarray({(draft.cores, *a.shape)}, nl.float32, buffer=nl.shared_hbm)",
        f"nisa.dma_copy({out}[core], {t})",
    ]
    return Statement(kernel, [f"{out} = activated({name!r}, np.clip(of({a.name}), -8, 8))"], output=(out, False))


def iota(draft: Draft) -> Statement:
    """Whole numbers along rows and partitions."""
    rows, pattern = draft.number(1, 128), [[draft.number(-3, 3), draft.number(1, 9)] for _ in range(draft.number(1, 3))]
    offset, channel = draft.number(-9, 9), draft.number(-2, 2)
    columns = 1
    for _, count in pattern:
        columns *= count
    where = draft.new((rows, columns), draft.dtype(*FP8))
    call = f"nisa.iota({{dst}}, {pattern}, offset={offset}, channel_multiplier={channel})"
    return draft.says(call, f"affine({rows}, {pattern}, {offset}, {channel})", where)


def affine_select(draft: Draft) -> Statement:
    """A tile where an affine function of the place is positive, else a number."""
    a = draft.pick(lambda tile: tile.buffer == "sbuf" and tile.dtype not in WIDE)
    rows, columns = a.shape
    step, channel, offset, op = draft.choose(-1, 1), draft.choose(-1, 0, 1), draft.number(-5, 5), draft.choose(*TRUTH)
    where = draft.new(a.shape, draft.dtype(*WIDE))
    pattern = [[step, columns]]
    call = f"nisa.affine_select({{dst}}, {pattern}, {channel}, {a.name}, -1.0, cmp_op=nl.{op}, offset={offset})"
    chosen = f"np.{op}(affine({rows}, {pattern}, {offset}, {channel}), 0)"
    return draft.says(call, f"np.where({chosen}, of({a.name}), np.float32(-1))", where)


def select(draft: Draft) -> Statement:
    """select_reduce into a tile, or tensor_copy_predicated onto one."""
    predicate = draft.pick(lambda tile: tile.dtype in ("uint8", "uint16"))
    on_true = draft.pick(
        lambda t: t.dtype not in WIDE and t is not predicate and "psum" not in (t.buffer, predicate.buffer)
    )
    condition, value, shape = draft.pair(predicate, on_true)
    if draft.chance(0.5):
        where = draft.result(shape, all_types(draft), (predicate, on_true))
        call = f"nisa.select_reduce({{dst}}, {condition}, {value}, 2.0)"
        return draft.says(call, f"np.where({condition} != 0, of({value}), np.float32(2))", where)
    onto = draft.pick(lambda t: t.dtype == on_true.dtype and t not in (predicate, on_true))
    if onto.shape[0] < shape[0] or onto.shape[1] < shape[1]:
        raise Unfit("the destination is smaller")
    view = draft.view(onto, *shape)
    return Statement(
        [f"nisa.tensor_copy_predicated({view}, {value}, {condition})"],
        [f"{view} = np.where({condition} != 0, {value}, {view})"],
    )


def eight(draft: Draft) -> Statement:
    """max8."""
    a = draft.pick(lambda tile: tile.shape[1] >= 8)
    where = draft.new((a.shape[0], 8), draft.dtype())
    return draft.says(f"nisa.max8({{dst}}, {a.name})", f"eight_largest({a.name})", where)


ARITHMETIC = (
    two_tiles, two_tiles, bit_tiles, with_scalars, with_scalars, scalar_and_tile, scan, reduce, reduce,
    exact_activation, function, iota, affine_select, select, eight,
)  # fmt: skip
