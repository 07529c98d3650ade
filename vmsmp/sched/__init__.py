"""Who runs next: one algorithm a file, behind the interface in `engine.scheduler`."""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
