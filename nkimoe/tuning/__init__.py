# SPDX-License-Identifier: Apache-2.0
"""Tuned tables: which choice of a grouped GEMM is predicted fastest for which layer.

What operations need of them is here; `writer`, `search` and `stages` use the simulator.
"""

from nkimoe.tuning.layer_key import LayerKey
from nkimoe.tuning.peer_table import PeerRow, read_peer_table
from nkimoe.tuning.table import TunedRows, TunedTable, read_table
from nkimoe.tuning.tuned_row import PredictedTime, TunedRow

__all__ = [
    "LayerKey",
    "PeerRow",
    "PredictedTime",
    "TunedRow",
    "TunedRows",
    "TunedTable",
    "read_peer_table",
    "read_table",
]
