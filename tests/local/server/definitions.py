"""Servers of process definitions, and resolvers that lead to them, for the tests of namespaces."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

PROCESS = {"id": "add_one", "process_graph": {}}


class Pages(http.server.BaseHTTPRequestHandler):
    """Notes what it is asked for, and answers with what the path says."""

    def do_GET(self):
        self.server.seen.append((self.headers["Host"], self.path, self.headers.get("Authorization")))
        status, location, body = self.server.pages.get(self.path, (404, None, ""))
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


@contextmanager
def offered(pages: dict, context: ssl.SSLContext | None = None) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server of these pages: of each path the status, the place it leads to, and the text."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.pages, server.seen = pages, []
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def at(*addresses: str):
    """A resolver that answers with these, whatever it is asked, and counts how often."""

    def resolve(host: str, port: int) -> list[str]:
        resolve.asked += 1
        return list(addresses)

    resolve.asked = 0
    return resolve
