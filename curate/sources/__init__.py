"""Where examples come from: files, globs, data sets and URLs, in the shapes of `formats`."""
