"""CPUs and time, nothing else: who runs, what counts as a step, how a run is written down.

This room knows neither locks nor memory.  `ops` names the visible operations, `cpu` is one CPU and
`pool` the real threads behind it, `controlled` and `free` are the two engines behind the one door
`Machine.point`, `schedule` and `trace` are what a run leaves behind.
"""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
