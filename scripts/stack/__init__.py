"""The embedded platform: Postgres, Triton, the Bentos, the gateway and the worker as child processes of one command."""
