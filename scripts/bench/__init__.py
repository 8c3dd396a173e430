"""`make bench`: Bonafide beside the bare loop that bounds it and beside the server that people write today."""
