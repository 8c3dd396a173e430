"""Fixtures by subject; each module of `tests.fixtures` starts one kind of real part."""

pytest_plugins = [
    "tests.fixtures.gateway",
    "tests.fixtures.postgres",
    "tests.fixtures.triton",
    "tests.fixtures.detectors",
]
