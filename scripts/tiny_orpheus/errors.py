"""What stops a build."""


class BuildError(Exception):
    """A sentence for whoever runs the command: the thing, the value got, the fix."""
