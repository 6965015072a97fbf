"""NAIT for curate: neuron-activation alignment with a target capability (arXiv 2603.13201)."""
