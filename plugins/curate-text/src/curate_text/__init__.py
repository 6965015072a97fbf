"""What text is made of, for curate: measures, languages, tokens, patterns, cleaning."""
