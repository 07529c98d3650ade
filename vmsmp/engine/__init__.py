"""CPUs and time, nothing else: who runs, what counts as a step, how a run is written down.

This room knows neither locks nor memory.  From the bottom up:

* `ops` (the table of operation kinds), `verdict` (the table of failure kinds), `wait`, `source`,
  `clock`, `schedule`, `trace`: values and what they mean;
* `protocol`: what a machine, its CPUs and an engine are to each other;
* `cpu`, `workers`, `identity`, `hooks`, `machine`, `observer`, `scheduler`: the parts;
* `controlled` (with `stepping`, `gate`, `spin`, `injection`) and `free` (with `supervisor`,
  `free_gate`): the two engines behind the one door `Machine.point`.
"""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
