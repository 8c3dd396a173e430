"""The commands that run the platform, each in a module of its own, so that none waits for what another imports."""
