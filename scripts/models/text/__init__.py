"""Models of text: what runs inside Triton beside their weights, and how they come into the repository."""
