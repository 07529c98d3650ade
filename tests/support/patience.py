"""How long a test waits for a process that it has started, or for many runs.

On a busy machine it may get a tenth of a core, and what then takes minutes is no fault of its own: only what
takes longer than this hangs.
"""

import pytest

#: Seconds for one process.
PROCESS_S = 550
#: The limit of a test that waits so.
patient = pytest.mark.timeout(PROCESS_S + 50)
