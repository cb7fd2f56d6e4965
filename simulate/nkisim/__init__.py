# SPDX-License-Identifier: Apache-2.0
"""nkisim: an open simulator of AWS's Neuron Kernel Interface (NKI).

import nkisim; nkisim.install()      # `import nki` is now the simulator
run = nkisim.Simulator(target="trn2", lnc=2).run(kernel, *arrays)
"""

from nkisim.errors import NkiValidationError, NotSimulated, SimulationError
from nkisim.execution.neuron_core import is_running
from nkisim.install import install
from nkisim.report.origin import installed_version
from nkisim.simulator import Predictor, Run, Simulator

__version__ = installed_version() or "0+source"

__all__ = [
    "NkiValidationError",
    "NotSimulated",
    "Predictor",
    "Run",
    "SimulationError",
    "Simulator",
    "__version__",
    "install",
    "is_running",
]
