"""Before any test module: one thread for linear algebra, and `import nki` bound as nkimoe binds it."""

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the products are small: threads would wait for each other
os.environ.setdefault("NKISIM_REFUSE", "NKI411")  # no kernel of nkimoe adds up two sums in a bank of a PSUM tensor

import nkimoe  # noqa: F401


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers of a Dask cluster on this machine; a worker that is killed is started again."""
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        yield made
        made.close()
