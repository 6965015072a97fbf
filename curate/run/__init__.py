"""Check, resolve, plan and execute a recipe. The room can be called: see `curate/__init__.py`."""
