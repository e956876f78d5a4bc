"""A small HTTP server for what well-behaved servers do not do."""

import http.server
import threading


class FaultServer:
    """Answers each request by calling `answer(request)`; `requests` is what came, in order.

    `request` is the handler of `http.server`: a test writes the answer with `send`, or whatever
    bytes and pauses it likes with `wfile`.
    """

    def __enter__(self):
        owner = self
        self.requests = []
        self.answer = None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                owner.requests.append(self)
                try:
                    owner.answer(self)
                except ConnectionError:
                    self.close_connection = True

            do_POST = do_PUT = do_HEAD = do_GET

            def send(self, status, body=b"", **headers):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
