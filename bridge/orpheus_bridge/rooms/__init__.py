"""Speech into LiveKit rooms."""
