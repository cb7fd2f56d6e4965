"""Before any test module: one thread for linear algebra, and `import nki` bound as nkimoe binds it."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the products are small: threads would wait for each other
os.environ.setdefault("NKISIM_REFUSE", "NKI411")  # no kernel of nkimoe adds up two sums in a bank of a PSUM tensor

import nkimoe  # noqa: F401
