"""`python -m scripts.bench`: the bench without the rest of the command tree."""

import typer

from scripts.bench.command import bench_command

# The bare loop's processes import this module again.
if __name__ == "__main__":
    typer.run(bench_command)
