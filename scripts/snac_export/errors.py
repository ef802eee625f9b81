"""What stops an export."""


class ExportError(Exception):
    """A sentence for whoever runs the command: the thing, the value got, the fix."""
