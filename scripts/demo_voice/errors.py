"""What stops a stage."""


class RecipeError(Exception):
    """A sentence for whoever runs the recipe: the thing, the value got, the fix."""
