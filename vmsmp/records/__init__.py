"""Shared records: structures of the kernel whose every field names its lock by letter.

| module | what is there |
|---|---|
| letters | what a letter of a legend stands for, and how letters combine |
| word | atomic operations, and the words inside records |
| field | declarations: fields, words, plain slots |
| share | shares of a record that are no locks: busies, holds, wirings, references |
| home | what a record expects of the subsystem that it hangs off |
| record | the base class, and the decorator that makes a class from its declarations |
| pool | the records of one type: their identities, and who finds, names and guards them |
| observer | the hooks by which checkers see records |
"""

#: What a report makes of this room's frames (`engine.source`).
FRAMES = "machinery"
