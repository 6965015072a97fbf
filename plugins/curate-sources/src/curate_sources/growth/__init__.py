"""`sources.growth`: rows by ability, each at its own pace."""
