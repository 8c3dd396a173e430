"""Fixtures by subject; each module of `tests.fixtures` starts one kind of real part."""

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.triton",
]
