"""What the clock predicts of `moe_smoothquant`, beside the time its bytes take."""

import ml_dtypes
import numpy as np

from nkimoe.ops import moe_smoothquant
from nkimoe.reference.roofline import roofline
from nkisim import Simulator
from nkisim.machine import UsefulWork


def test_the_peers_default_shape_takes_at_most_three_times_as_long_as_its_bytes():
    T, H, E, k = 3328, 4096, 32, 5
    x = np.broadcast_to(ml_dtypes.bfloat16(0), (T, H))
    smooth = np.broadcast_to(np.float32(0), (E, H))
    ids = np.argsort(np.random.default_rng(0).random((T, E)), axis=1)[:, :k].astype(np.int32)
    profile = Simulator("trn2", 2, numerics=False).run(moe_smoothquant, x, smooth, ids).profile
    read, written = 2 * T * H + 4 * E * H + 4 * k * T, k * T * H + 4 * k * T
    least = roofline(UsefulWork(0.0, read + written), "trn2", 2).latency_us
    print(f"predicted {profile.latency_us:.1f} us, bytes {least:.1f} us, fraction {least / profile.latency_us:.3f}")
    assert least / profile.latency_us > 0.32
    assert profile.hbm_read <= 2 * T * H + 2 * 4 * E * H + 4 * k * T  # x once, smooth rows once a core
    assert profile.hbm_written == written
