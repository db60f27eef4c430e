"""The code inside the box: standard library only, Python 3.9 or later, no import from outside this folder.

`supervisor` is the first process of the box, and the only one that talks to the host. `repl_process` is the
supervisor's side of one REPL child; `repl` is that child. Everything that a child sends is hostile; `frame_checks`
validates it.
"""
