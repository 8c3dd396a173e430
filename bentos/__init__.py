"""The Bento services: they turn media into tensors, ask Triton, and turn scores into verdicts."""
