"""Shared records: kernel structures in which every field names its lock by letter.

| module | contents |
|---|---|
| letters | what the letters of a legend mean, and how they combine |
| word | atomic operations, and the words inside records |
| field | declarations: fields, words, plain slots |
| share | shares of a record that are not locks: busies, holds, wirings, references |
| home | the interface that a record expects of its subsystem |
| record | the base class, and the decorator that makes a class from its declarations |
| pool | the records of one type: allocating, finding, naming and guarding them |
| observer | the hooks through which checkers see records |
"""

#: How a report classifies this package's frames (`engine.source`).
FRAMES = "machinery"
