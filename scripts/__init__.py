"""The command line, the embedded stack, a model's life, the demo weights and the measurements."""
