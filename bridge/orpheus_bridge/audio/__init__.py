"""Samples to file formats and back; stages with `push` and `flush`."""
