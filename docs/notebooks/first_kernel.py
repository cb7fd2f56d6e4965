# %% [markdown]
# # A kernel in a notebook
#
# A run shows itself as tables, and two runs can be compared. Times are predicted by nkisim, never measured.

# %%
import nkisim

nkisim.install()  # from here on `import nki` is the simulator

import tempfile
from pathlib import Path

import ml_dtypes
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np
from IPython.display import SVG

# %% [markdown]
# Softmax of rows, one tile of 128 rows at a time. The Scalar Engine adds up the exponentials while it computes them.


# %%
@nki.jit
def softmax(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for start in range(0, x.shape[0], 128):
        tile = slice(start, start + 128)
        values = nl.load(x[tile, :])
        largest = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=largest, op=nl.maximum, data=values, axis=1, negate=True)
        nisa.activation_reduce(dst=values, op=nl.exp, data=values, bias=largest, reduce_op=nl.add, reduce_res=total)
        nisa.reciprocal(dst=total, data=total)
        nisa.tensor_scalar(dst=values, data=values, op0=nl.multiply, operand0=total)
        nisa.dma_copy(dst=out[tile, :], src=values)
    return out


x = np.random.default_rng(0).standard_normal((512, 1024), np.float32)
run = nkisim.Simulator(target="trn2").run(softmax, x)
exponentials = np.exp(x - x.max(axis=1, keepdims=True))
assert np.allclose(run.outputs, exponentials / exponentials.sum(axis=1, keepdims=True), atol=1e-6)
run

# %% [markdown]
# What each engine does when:

# %%
picture = Path(tempfile.mkdtemp()) / "softmax.svg"
run.profile.save_timeline(picture)
SVG(picture)

# %% [markdown]
# In bf16 half of the bytes move. What becomes faster, by resource, engine and line:

# %%
narrow = nkisim.Simulator(target="trn2").run(softmax, x.astype(ml_dtypes.bfloat16))
assert narrow.profile.latency_us < run.profile.latency_us
print(run.diff(narrow))

# %% [markdown]
# A broken rule is an error with the line of the kernel: here the cell, by the number that IPython gives it, and the
# line in it. Tables and pages name lines likewise.

# %%
try:
    softmax(np.ones((200, 1024), np.float32))
except nkisim.SimulationError as error:
    message = str(error)
assert "(Cell In[" in message
message
