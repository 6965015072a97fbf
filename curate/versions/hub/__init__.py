"""Versions on the Hugging Face Hub: how they get there, and back."""
