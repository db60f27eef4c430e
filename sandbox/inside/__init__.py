"""The code inside the box: standard library only, Python 3.9 or later, no import from outside this folder.

`supervisor` is the first process of the box, and the only one that talks to the host. `repl_process` is the
supervisor's side of one REPL child, and `running_cell` that of its cell; `repl` is the child. Everything a child
sends is hostile: `frame_checks` checks it.
"""
