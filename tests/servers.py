"""A small HTTP server for what well-behaved servers do not do, and AWS's protocol on it."""

import gzip
import http.server
import json
import threading

GROUP = SPACE = "/aws/sagemaker/TrainingJobs"  # SageMaker's log group, and namespace of metrics


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


class Wire:
    """A service of AWS that checks every limit on the bytes that come, and accepts the rest.

    A service overrides `check` and `take`. `faults` are functions of a request, asked one request
    after the other: what they give is done in the place of an answer. It is the code of an error,
    or `reset`, `drip` or `accept`, after which the connection is closed.
    """

    def __init__(self, server, *faults):
        self.requests = 0
        self.faults = list(faults)
        server.answer = self.answer

    def check(self, asked, body):
        """Refuse what is not within the limits, by an `AssertionError`."""

    def take(self, asked):
        """Accept a request; gives the answer."""

    def answer(self, request):
        """One request."""
        body = request.body
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.requests += 1
        asked = json.loads(body)
        try:
            self.check(asked, body)
        except AssertionError as error:
            self.reply(request, 400, {"__type": "LimitExceeded", "message": repr(error)})
            raise
        fault = self.faults.pop(0)(asked) if self.faults else None
        taken = self.take(asked) if fault in (None, "accept", "drip") else None
        if fault is None:
            self.reply(request, 200, taken)
        elif fault in ("accept", "reset", "drip"):
            if fault == "drip":  # a part of an answer
                request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
            request.close_connection = True
        else:
            self.reply(request, 400, {"__type": fault, "message": "no"})

    def reply(self, request, status, value):
        """In AWS's JSON protocol."""
        body = json.dumps(value).encode()
        request.send(status, body, Content_Type="application/x-amz-json-1.0")
