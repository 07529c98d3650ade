"""Many runs: search, replay, minimize and confirm; campaigns over all scenarios; measurements."""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
