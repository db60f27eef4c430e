"""What runs in the box: standard library only, Python 3.9 or later, and no import of anything outside this folder.

`supervisor` is the box's first process and the only one that speaks with the host; `keeper` is one REPL child
as the supervisor sees it; `repl` is that child. Everything a child says is hostile: `claims` checks it.
"""
