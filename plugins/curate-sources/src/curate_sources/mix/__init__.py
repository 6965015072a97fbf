"""`sources.mix`: rows of several sources under an explicit policy."""
