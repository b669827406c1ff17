"""NAME UNIT REVERSION_S POLL_MS TIMEOUT_MS: the plan of a CAN map as one JSON line."""

import sys

from drivers.can.dbc import main

sys.exit(main(sys.argv[1:]))
