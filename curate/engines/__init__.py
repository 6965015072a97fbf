"""Where work is done: the seam between the runner and processes or machines."""
