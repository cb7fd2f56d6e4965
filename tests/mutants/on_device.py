"""Mistakes in the kernels that route and map tokens."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "routing/on_device/mapping.py": (
        ("-1 if skip_token else n_tokens", "-1", "the pad convention ignored"),
        ("offset=tokens.start + 1", "offset=tokens.start", "tokens off by one, the first one a pad"),
        ("limit=1", "limit=top_k", "an expert listed twice counts twice"),
    ),
    "routing/on_device/token_groups.py": (
        ("range(nl.program_id(0), len", "range(0, len", "both cores have the groups of one"),
    ),
    "routing/on_device/block_tables.py": (
        ("op0=nl.greater, operand0=0.0", "op0=nl.greater_equal, operand0=0.0", "experts begin behind their blocks"),
        ("operand1=0.5 - 0.5 / B", "operand1=0.0", "blocks rounded to the nearest"),
        ("op0=nl.greater_equal, operand0=self._first", "op0=nl.greater, operand0=self._first",
         "blocks change expert one late"),
        ("operand0=-last, op1", "operand0=0.0, op1", "blocks have an expert that is none"),
        ("data2=counts[:, :, g], op=nl.add", "data2=counts[:, :, g], op=nl.maximum", "groups begin where others do"),
        ("data2=bounds[:, :, :G], op=nl.subtract", "data2=bounds[:, :, :G], op=nl.add", "slots of a group elsewhere"),
    ),
    "routing/on_device/block_pieces.py": (
        ("operand0=float(n), op1=nl.equal", "operand0=0.0, op1=nl.equal", "a row repeated instead of the one behind"),
        ("op0=nl.greater_equal", "op0=nl.greater", "a group begins one slot late"),
        ("op0=nl.minimum", "op0=nl.maximum", "pads are what stands in the last row"),
        ("data2=part, op=nl.add", "data2=part, op=nl.multiply", "only what all groups have together"),
        ("operand0=-float(start)", "operand0=0.0", "every piece is the first"),
    ),
    "routing/on_device/expert_slots.py": (
        ("stationary=self._not_earlier", "stationary=self._ones.earlier", "tiles of tokens overwrite each other"),
        ("((core, own), (1 - core, theirs))", "((core, theirs), (1 - core, own))", "counts of the other core"),
        ("initial=start", "initial=1.0", "what reaches over the first slot reads another's"),
        ("op0=nl.greater, operand0=0.0", "op0=nl.greater_equal, operand0=0.0", "experts that nobody lists have a slot"),
        ("op0=nl.equal, operand0=0.0", "op0=nl.greater_equal, operand0=0.0", "a token lists what others do"),
        ("accumulate=some.start + n > 0", "accumulate=False", "the last choice counts alone"),
    ),
    "routing/on_device/choices.py": (
        ("offset=tokens.start * columns", "offset=tokens.start", "choices of other tokens"),
        ("nisa.memset(dst=tile[:, whole:, :], value=absent)", "nisa.memset(dst=tile[:, whole:, :], value=0)",
         "rows behind the last token choose expert 0"),
        ("operand0=float(n_experts)", "operand0=float(n_experts + 1)", "an id too large sorts before experts"),
        ("op=nl.subtract", "op=nl.maximum", "a repeated expert counts as another"),
        ("pattern=[[width, tiles], [0, count]]", "pattern=[[0, tiles], [0, count]]", "weights of another token"),
    ),
    "routing/on_device/slot_tables.py": (
        ("accumulate=not is_first or k > 0", "accumulate=k > 0", "only the last pairs are in the tables"),
        ("return tables[: len", "return tables[::-1][: len", "groups in the order of the other core"),
        ("operand1=float(pad + 1)", "operand1=float(pad)", "pads are the last pair"),
    ),
    "routing/on_device/pair_blocks.py": (
        ("data2=order.repeats, op=nl.add", "data2=order.repeats, op=nl.maximum", "repeated choices at slot 0"),
        ("op0=nl.greater_equal, operand0=0.0", "op0=nl.greater_equal, operand0=-1.0", "ids of no expert have slots"),
        ("operand1=-0.5 - 0.5 / top_k", "operand1=-0.5", "tokens rounded up"),
        ("offset=tokens.start * top_k + 1", "offset=tokens.start + 1", "numbers of other pairs"),
    ),
    "routing/on_device/counts.py": (
        ("op0=nl.greater, operand0=0.0", "op0=nl.greater_equal, operand0=0.0", "a token counts itself"),
        ("operand1=0.5 - 0.5 / block_size", "operand1=0.0", "blocks rounded to the nearest"),
        ("data2=exact, op=nl.subtract", "data2=exact, op=nl.maximum", "experts begin behind their blocks"),
        ("nisa.tensor_copy(dst=before, src=total)", "nisa.memset(dst=before, value=0)", "both cores start at slot 0"),
        ("op0=nl.less_equal, operand0=number", "op0=nl.less, operand0=number", "blocks change expert one late"),
    ),
    "routing/on_device/listed.py": (
        ("ids, dtype, nl.maximum)", "ids, dtype, nl.multiply)", "no expert is ever listed"),
        ("ids, dtype, nl.add)", "ids, dtype, nl.maximum)", "an expert listed twice counts once"),
        ("offset=rows.start, channel_multiplier=1", "offset=0, channel_multiplier=1", "every tile is the first"),
    ),
    "routing/on_device/pair_order.py": (
        ("op0=nl.equal, operand0=own, op1=nl.add, operand1=after", 
         "op0=nl.equal, operand0=own, op1=nl.maximum, operand1=after", "choices of one expert overwrite each other"),
        ("add_sums(next_slot, ones.all[:rows], chosen, next_slot)", "pass", "tiles of tokens overwrite each other"),
        ("operand0=-float(E + 1)", "operand0=0.0", "surplus blocks have an expert that is none"),
    ),
    "routing/on_device/aligned_pairs.py": (
        ("offset=tokens.start * top_k, channel_multiplier=top_k", "offset=tokens.start, channel_multiplier=1",
         "tokens numbered, not pairs"),
        ("nisa.core_barrier(data=sorted_ids, cores=(0, 1))", "pass", "pads may come after pairs"),
        ("filler_of(by_block, n_tokens * top_k)", "filler_of(by_block, n_tokens)", "pads are a real pair"),
    ),
    "routing/on_device/sorted_pairs.py": (
        ("fill(weights, filler_of(weights, 0))", "fill(weights, filler_of(weights, 1))", "pads have a weight"),
        ("data2=limit, op=nl.less)", "data2=limit, op=nl.less_equal)", "one token too many is real"),
        ("own[:, k : k + 1], places", "own[:, 0:1], places", "all choices have the first weight"),
        ("PairOrder(rule.experts", "PairOrder(tuple(range(len(rule.experts)))", "local experts are the first ones"),
        ("op0=nl.bitwise_or", "op0=nl.bitwise_and", "pads of a limit on the device without the limit"),
    ),
    "routing/on_device/largest.py": (
        ("imm=FOUND", "imm=MASKED", "what was found may be found again"),
        ("nisa.memset(dst=part, value=MASKED)", "nisa.memset(dst=part, value=0)", "masked experts compete with 0"),
        ("nisa.memset(dst=tile, value=FOUND)", "nisa.memset(dst=tile, value=0)", "columns that are no expert chosen"),
    ),
    "routing/on_device/scores.py": (
        ("op0=nl.greater, operand0=MASKED", "op0=nl.greater_equal, operand0=MASKED", "masked experts get a weight"),
        ("operand0=rule.scaling_factor", "operand0=1.0", "the scaling factor forgotten"),
        ("op=nl.subtract", "op=nl.add", "softmax raised instead of lowered"),
    ),
    "routing/on_device/groups.py": (
        ("data2=second, op=nl.add", "data2=second, op=nl.maximum", "the best instead of the best two"),
        ("[[groups, rows], [1, groups], [0, members.shape[2]]]", "[[groups, rows], [0, groups], [1, members.shape[2]]]",
         "groups of every second expert"),
    ),
    "routing/on_device/router.py": (
        ("nisa.memset(dst=part, value=MASKED,", "nisa.memset(dst=part, value=0,", "masked experts compete with 0"),
        ("chosen.values if bias is None else _scores", "chosen.values if True else _scores", "weights with the bias"),
        ("pattern=[[0, PARTITIONS], [1, n_experts]]", "pattern=[[0, PARTITIONS], [0, n_experts]]", "one bias for all"),
    ),
    "routing/on_device/affinities.py": (
        ("nisa.dma_copy(dst=by_row[shape[0] : n_rows], src=zeros)", "pass", "the pad row never written"),
        ("operand1=own[:, k : k + 1]", "operand1=own[:, 0:1]", "all choices have the first weight"),
    ),
}  # fmt: skip
