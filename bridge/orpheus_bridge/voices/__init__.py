"""Who can speak: presets of the loaded checkpoints, aliases, and rows of the database."""
