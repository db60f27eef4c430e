"""Files that others wrote, as the engine's events: no Django, no Celery, no rows.

`sources.find_sources` says what of a path can be read and how; each format yields `records.ImportedRollout`s, one
after the other, so that no file has to fit into memory.
"""
