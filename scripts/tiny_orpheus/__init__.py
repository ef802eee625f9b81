"""Orpheus in any size with constructed weights: it takes Orpheus's prompts, and hums where Orpheus speaks."""
