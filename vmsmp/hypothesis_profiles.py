"""Profiles for hypothesis: `dev`, `pr` and `nightly`.

hypothesis calls `register` when it is imported, by the entry point `vmsmp` of the group `hypothesis`;
whoever registers a profile of one of these names later replaces ours.  `--hypothesis-profile NAME` chooses
one, or the variable `VMSMP_PROFILE`.  All of them have no deadline and show how to reproduce a failure.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import HealthCheck, settings

#: What each profile sets, beside what all do.
PROFILES: Final[dict[str, dict[str, Any]]] = {
    "dev": {"max_examples": 50},
    "pr": {"max_examples": 200, "derandomize": True},
    "nightly": {
        "max_examples": 20_000,
        "stateful_step_count": 100,
        "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    },
}


def register() -> None:
    """Register the profiles, and load the one that `VMSMP_PROFILE` names."""
    for name, own in PROFILES.items():
        settings.register_profile(name, deadline=None, print_blob=True, **own)
    wanted = os.environ.get("VMSMP_PROFILE")
    if wanted in PROFILES:
        settings.load_profile(wanted)
