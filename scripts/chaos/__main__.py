"""`python -m scripts.chaos`: what `make chaos` calls."""

import typer

from scripts.chaos.command import chaos_command

if __name__ == "__main__":
    typer.run(chaos_command)
