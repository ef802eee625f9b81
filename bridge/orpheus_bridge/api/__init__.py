"""HTTP routes: they adapt, and hold no state."""
