"""The time that really passes, also in a test that has stopped the clock with freezegun.

freezegun replaces the functions of ``time`` wherever a module holds them; it does not look into a ``partial``. The
plugin imports this module when pytest starts, before any test can stop the clock.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

monotonic: Final = partial(time.monotonic)
"""Return seconds of the monotonic clock."""
