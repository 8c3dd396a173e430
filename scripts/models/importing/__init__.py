"""`bonafide models import`: from what the field publishes to a staged version that speaks the repository's contract."""
