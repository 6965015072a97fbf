"""Recipes: YAML with positions, the model, conditions, and what all of it says wrongly."""
