"""`python -m scripts.bench`: the bench without the rest of the command tree."""

import typer

from scripts.bench.command import bench_command

typer.run(bench_command)
