"""Sets up, renders and runs the speech server on one machine.

`errors`, `paths`, `commands`, `environments`, `bootstrap`, `processes` and `supervisor` import the standard library
only: they run before any environment exists, or beside a server that must not be disturbed.
"""
