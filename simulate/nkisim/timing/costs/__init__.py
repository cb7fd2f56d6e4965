# SPDX-License-Identifier: Apache-2.0
"""Work to duration: one module an engine. Formulas are here, their constants in the machine files."""

from nkisim.timing.costs.cost import Cost
from nkisim.timing.costs.dma import Transfer
from nkisim.timing.costs.table import Works

__all__ = ["Cost", "Transfer", "Works"]
