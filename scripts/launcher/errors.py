"""What stops a start."""


class LaunchError(Exception):
    """A sentence for whoever runs the command: it names the thing, the value got and the fix. No trace is shown."""
