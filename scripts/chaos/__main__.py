"""`python -m scripts.chaos`: what `make chaos` calls."""

import typer

from scripts.chaos.command import chaos_command

app = typer.Typer(add_completion=False)
app.command()(chaos_command)

if __name__ == "__main__":
    app()
