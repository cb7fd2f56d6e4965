"""The tutorials' kernels say `import nki`; here that is the simulator."""

import nkisim

nkisim.install()
