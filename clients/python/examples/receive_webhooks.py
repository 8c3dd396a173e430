"""Receives webhooks and prints those that are genuine: `SECRET=whsec_… python receive_webhooks.py [PORT] [--once]`.

With `--once` it ends after the first. An answer of 2xx says that a message has arrived; every other is tried again.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

from bonafide_client import webhooks

_PORT = 9099
_MOST_BYTES = 1024 * 1024


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what is signed with the secret, and 401 to all else."""

    seen: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        """Take a message in."""
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), _MOST_BYTES))
        try:
            event = webhooks.verify(body, dict(self.headers), os.environ["SECRET"])
        except webhooks.InvalidSignatureError:
            self.send_response(401)
        else:
            self.send_response(204)
            # The same message may come twice: its id tells.
            if self.headers["webhook-id"] not in self.seen:
                self.seen.add(self.headers["webhook-id"])
                print(json.dumps(event), flush=True)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - The same.
        """Nothing: what is printed are messages."""


def main() -> None:
    """Serve on the loopback interface."""
    words = [word for word in sys.argv[1:] if word != "--once"]
    with HTTPServer(("127.0.0.1", int(words[0]) if words else _PORT), Receiver) as server:
        while not ("--once" in sys.argv and Receiver.seen):
            server.handle_request()


if __name__ == "__main__":
    main()
