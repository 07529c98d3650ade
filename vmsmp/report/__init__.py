"""What people read: the story of a run as a table, summaries, and what machines read instead."""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
