"""Who runs next: one algorithm a file, all behind the one interface in `base`."""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
