"""LINK UNIT REVERSION_S TIMEOUT_S TIMEOUT_MS MAP COMMANDS_Q: the plan of a device as one JSON line."""

import sys

from drivers.sunspec.wire import main

sys.exit(main(sys.argv[1:]))
