"""The embedded platform: Postgres, Triton, the Bentos and the gateway as child processes of one command."""
