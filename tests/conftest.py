"""Fixtures by subject; each module of `tests.fixtures` starts one kind of real part."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Who is started in the background ignores Ctrl-C, and so would every process that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.fixtures.authorities",
    "tests.fixtures.bucket",
    "tests.fixtures.leftovers",
    "tests.fixtures.clients",
    "tests.fixtures.document",
    "tests.fixtures.floors",
    # Before the next, which takes it: a plugin has to be loaded as one before others import it.
    "tests.fixtures.nursery",
    "tests.fixtures.gateway",
    "tests.fixtures.identity_provider",
    "tests.fixtures.kept",
    "tests.fixtures.labelled",
    "tests.fixtures.logs",
    "tests.fixtures.people",
    "tests.fixtures.postgres",
    "tests.fixtures.site",
    "tests.fixtures.triton",
    # After those whose functions it takes: a plugin has to be loaded as one before others import it.
    "tests.fixtures.stack",
    "tests.fixtures.detectors",
]
