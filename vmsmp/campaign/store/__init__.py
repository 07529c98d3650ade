"""The store: one SQLite file with all that campaigns have run and found, on one machine or several.

A file has one writer, a campaign; readers may look while it writes.  What a batch came to goes in at once or
not at all, so whoever is killed loses the batches under way and nothing else.  A batch of the controlled
engine is named by what decides it (code, scenario, way, options, seed, schedules): it is never run twice, and
two stores that have it have the same.

Beside that a store keeps what other commands measure of the same code: the kill table, which guards are run,
the contention (`measured`).  Who reads a store reads a copy of it (`copy`).
"""
