"""Language models for curate: examples judged, compared and rewritten by a prompt of your own."""
