"""Files of other tools, read as the engine's events. No module here knows Django, Celery or rows.

`sources.find_sources` finds the files of a path and their formats. Each format yields one
`records.ImportedRollout` at a time, so that a file need not fit into memory.
"""
