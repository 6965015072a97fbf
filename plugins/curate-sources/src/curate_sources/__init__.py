"""Mixing human and synthetic data under explicit policies, as stages of curate."""
