"""The pages that document the HTTP API, served from our own files."""
