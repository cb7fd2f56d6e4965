"""Mistakes in routing tables, gathers, exchanges, schedules and plans."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "kernels/stages/load_routing.py": (
        ("is_first=j == 0", "is_first=j <= 1", "the second block replaces what it should add to"),
        ("offset=at * p.B", "offset=at", "block offset not scaled by the block size"),
        (
            "pattern=[[0, PARTITIONS], [blocks.step, n]], offset=first",
            "pattern=[[0, PARTITIONS], [1, n]], offset=first",
            "experts of neighbouring blocks",
        ),
        ("self.experts[:, first : first + n]", "self.experts[:, 0:n]", "affinity experts always from block 0"),
        ("ids, place.step, nl.multiply", "ids, place.step - 1, nl.multiply", "E off by one"),
        ("data2=per_tile, op=nl.add", "data2=per_tile, op=nl.subtract", "expert subtracted"),
        (
            "nisa.oob_mode.skip if request.skip_dma.skip_token else nisa.oob_mode.error",
            "nisa.oob_mode.error",
            "pad ids are an error",
        ),
        (
            "[pattern[0], [step * p.B, n], pattern[1]]",
            "[pattern[0], [p.B, n], pattern[1]]",
            "token ids of neighbouring blocks instead of this core's",
        ),
        ("[[1, PARTITIONS], [PARTITIONS, whole]], 0)", "[[1, PARTITIONS], [0, whole]], 0)", "all tiles the first"),
        ("whole * PARTITIONS)", "0)", "the rest of a block read from its top"),
        (
            "experts.expand_dim(2).broadcast(2, ids.shape[1] // experts.shape[1])",
            "experts.expand_dim(1).broadcast(1, ids.shape[1] // experts.shape[1])",
            "tiles and blocks swapped in a broadcast",
        ),
        ("start = (j - window.first) * tiles", "start = (j - window.first)", "block index not scaled by tiles"),
        ("if j % self._per_window == 0:", "if j == 0:", "the first window of routing tables serves all blocks"),
        (
            "to_load[:, before:n], experts[:, before:n], experts[:, 0 : n - before], E",
            "to_load[:, before:n], experts[:, 0 : n - before], experts[:, 0 : n - before], E",
            "every block counts as a repeat",
        ),
        (
            "to_load[:, before:n], experts[:, before:n], experts[:, 0 : n - before], E",
            "to_load[:, 0 : n - before], experts[:, before:n], experts[:, 0 : n - before], E",
            "the block before a repeat is skipped",
        ),
        ("experts[:, 0 : n - before], E)", "experts[:, 0 : n - before], E - 1)", "repeats load the last expert"),
        (
            "expert=self.experts[:, j : j + 1]",
            "expert=self.experts[:, 0:1]",
            "always the first block's expert where nothing is skipped",
        ),
        (
            "expert_to_load=self._to_load[:, j : j + 1]",
            "expert_to_load=self.experts[:, 0:1]",
            "every block loads the first one's expert",
        ),
        ("range(tiles.start, tiles.stop)", "range(tiles.size)", "always the first tiles of a block"),
    ),
    "kernels/stages/gather_tokens.py": (
        ("self._next += 1", "self._next += 2", "every other buffer of the ring"),
        ("self._tiles[self._next % len(self._tiles)]", "self._tiles[0]", "one buffer for all: stale rows"),
        (
            "PREPARE = {True: clear, False: leave}",
            "PREPARE = {True: leave, False: leave}",
            "gather tiles never cleared",
        ),
        ("return self._sets[-1]", "return self._sets[0]", "rows over those that are still to be transposed"),
        ("self._parts[-1] = part", "self._parts[0] = part", "a loop begins with the rows of another part"),
        ("[1, size]]", "[1, size - 1]]", "last column not gathered"),
        ("offset=columns.start", "offset=0", "both cores gather the first columns"),
        ("vector_offset=ids", "vector_offset=None", "static rows instead of a gather"),
        (
            "block.rows[:, c : c + 1] for c",
            "block.rows[:, 0:1] for c",
            "affinities of the first tile everywhere",
        ),
        (
            "    nisa.memset(dst=dst, value=0, engine=nisa.engine.gpsimd)",
            "    pass",
            "affinities of skipped slots never cleared",
        ),
    ),
    "kernels/stages/token_columns.py": (
        (
            "tile // group * PARTITIONS * group + tile % group",
            "tile * PARTITIONS",
            "rows of H not grouped like the weights",
        ),
        ("+ tile % group", "", "every tile of a group the same"),
        ("buffer=nl.psum", "buffer=nl.sbuf", "PE result in SBUF"),
        ("bank.start + k, self._tiling.row_group", "k, self._tiling.row_group", "every PSUM bank the first tiles"),
        ("turned[:, k, :], data=source", "turned[:, 0, :], data=source", "all transposes on one tile"),
        (
            "self._tile[:, :, count : count + row.shape[0]])",
            "self._tile[:, :, 0 : row.shape[0]])",
            "all token tiles on the first",
        ),
        (
            "Span(first + bank.start, bank.size)",
            "Span(bank.start, bank.size)",
            "own tiles where the other core's belong",
        ),
        ("        share_tokens(", "        (lambda *_: None)(", "the other core's half of the tokens never arrives"),
    ),
    "kernels/stages/exchange.py": (
        (
            "slice(own.stop - missing, own.stop) if first else slice(0, missing)",
            "slice(0, missing)",
            "the wrong tiles sent when their number is odd",
        ),
        (
            "slice(0, missing) if first else slice(own.stop, tiles)",
            "slice(0, missing)",
            "the other core's tiles land on own ones",
        ),
        ("columns.start % written.size", "columns.start % PARTITIONS", "partial sums of several banks confused"),
        (
            "data2=received.pop(place), op=nl.add",
            "data2=received.pop(place), op=nl.subtract",
            "partial sums subtracted",
        ),
        (
            "_swap(tile, incoming)\n    return incoming",
            "_swap(tile, incoming)\n    return tile",
            "what was sent taken for what came",
        ),
    ),
    "kernels/stages/loop_routing.py": (
        (
            "_register(_share(largest, plan.loop_blocks - 1,",
            "_register(_share(largest, 0,",
            "the last block of an odd count never runs",
        ),
        (
            "largest = _share(everybody, cores - 1, cores)",
            "largest = everybody",
            "the first core also takes the second one's blocks",
        ),
        (
            "else _share(everybody, 0, cores)",
            "else _share(everybody, cores - 1, cores)",
            "the second core computes one block too many",
        ),
        ("self.later = largest", "pass", "both cores begin with the same block"),
        ("op=nl.greater_equal", "op=nl.greater", "a block behind the last one is computed"),
        (
            "experts[:, 1:], experts[:, :-1], self.problem.E",
            "experts[:, 1:], experts[:, 1:], self.problem.E",
            "only the first block of the loop loads weights",
        ),
        (
            "experts[:, 0:1], last, self.problem.E",
            "experts[:, 0:1], experts[:, 0:1], self.problem.E",
            "the loop's first block finds the weights of another",
        ),
        (
            "put(table, pad, nobody)",
            "put(table, pad + 1, nobody)",
            "slots of nobody hold another token",
        ),
        (
            "put(values[:, 1:], self.problem.E, self._nobody[:, 1:])",
            "put(values, self.problem.E, self._nobody)",
            "a core without blocks never loads weights",
        ),
        ("]], ahead * partitions * width", "]], 0", "the loop computes its first blocks twice"),
        (
            "nisa.tensor_copy(dst=self._affinities, src=other._affinities, engine=nisa.engine.gpsimd)",
            "pass",
            "the loop keeps its first affinities",
        ),
        (
            "self._slot_tables(first, n, _copy(experts[:, here])",
            "self._slot_tables(first, n, _copy(experts[:, 0:n])",
            "affinities of other experts",
        ),
        (
            "            nisa.tensor_tensor(dst=numbers, data1=numbers, data2=later, op=nl.add)\n",
            "",
            "the second core saves over the first one's checkpoints",
        ),
    ),
    "kernels/layer.py": (
        (
            "sums=sums if plan.halves_intermediate else _of_one_core",
            "sums=_of_one_core",
            "each core keeps its partial sums to itself",
        ),
    ),
    "kernels/block_program.py": (
        (
            "room.settle()\n    layer.turn(following)\n",
            "room.settle()\n",
            "every part computes with the first one's tokens",
        ),
    ),
    "kernels/schedules/device_loops.py": (
        (
            "nl.fori_loop(0, tables.blocks.iterations, body)",
            "nl.fori_loop(0, (plan.problem.N - plan.static_blocks + 1) // 2, body)",
            "the loop runs as often as there are blocks",
        ),
        ("        now.take(following)\n", "", "the loop never moves on"),
        (
            "        layer.output.rewind()\n",
            "        layer.output.rows(following.blocks[0].ids[:, 0:1])\n",
            "old rows read for nobody",
        ),
        (
            "layer.checkpoints.clear(plan.cleared_by(core))",
            "layer.checkpoints.clear(range(0))",
            "checkpoints of blocks that may not run never cleared",
        ),
    ),
    "kernels/schedules/static.py": (
        (
            "(*window, afterwards, None)[:2]",
            "(*window, None, None)[:2]",
            "the loop's first block never starts loading",
        ),
    ),
    "planning/shares.py": (
        ("len(range(core, n, cores))", "n // cores", "the last block of an odd count is lost"),
        ("BlockRange(first, 1, min(half, n - first))", "BlockRange(first, 1, half)", "HI_LO runs past the last block"),
        (
            "Span(core * inner, min(inner, problem.I - core * inner))",
            "Span(core * inner, inner)",
            "the second half of an odd I runs past its end",
        ),
        ("Span(core * problem.H // 2, problem.H // 2)", "Span(0, problem.H // 2)", "both cores write the same columns"),
    ),
    "planning/tiling.py": (
        ("needed <= sbuf_capacity", "needed <= 4 * sbuf_capacity", "tiling ignores the size of SBUF"),
    ),
}
