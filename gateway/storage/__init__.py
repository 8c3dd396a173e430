"""What accounts have in the object store."""
