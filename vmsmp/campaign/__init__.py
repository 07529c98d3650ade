"""Many runs of one program, and what comes out of them."""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
