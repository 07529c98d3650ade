"""`python -m vmsmp`."""

import sys

from vmsmp.cli import main

sys.exit(main())
