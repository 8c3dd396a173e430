"""Measuring versions of models on labelled media of one's own, through the path that callers' media take."""
