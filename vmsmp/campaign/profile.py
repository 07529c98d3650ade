"""Profiles of a campaign: how long one is, by the occasion."""

from __future__ import annotations

from typing import Final

#: Minutes of a campaign, by the name of its profile.
PROFILES: Final = {"pr": 5.0, "nightly": 300.0, "weekend": 2_880.0}
#: Minutes of one where nobody says how long, nor how many schedules.
USUAL: Final = 1.0
