"""Published baselines for curate: scores and filters to compare a selector with."""
