"""A small object server with latency: enough of S3's interface to list a bucket and read objects.

`remote.py` starts it as a process: `object_server.py DIRECTORY COUNT SECONDS MBIT` prints its port
and serves COUNT objects `logs/000000.gz`, ..., which are the files of the directory over and over,
each answer so many seconds after its request. Requests overlap; all answers share a link of so many
megabits a second, one after the other. With 0 there is no other limit than the server's one core.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
DATE = "Wed, 25 Nov 2026 10:00:00 GMT"


class Server(asyncio.Protocol):
    """One connection; a request a time, as HTTP/1.1 clients send them."""

    bodies: ClassVar[list[bytes]] = []
    count = 0
    latency = 0.0
    link = 0.0  # bytes a second
    free_at: ClassVar[float] = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        if b"\r\n\r\n" in self.received:
            request, _, self.received = self.received.partition(b"\r\n\r\n")
            target = request.split(b" ", 2)[1].decode()
            asyncio.get_running_loop().call_later(self.latency, self.answer, target)

    def answer(self, target: str) -> None:
        parts = urlsplit(target)
        name = parts.path.rpartition("/")[2]
        if "list-type" in parts.query:
            self.send(self.listing(parse_qs(parts.query)), "application/xml")
        elif name.endswith(".gz"):
            self.send(self.bodies[int(name[:-3]) % len(self.bodies)], "application/gzip")
        else:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def listing(self, query: dict[str, list[str]]) -> bytes:
        first = int(query.get("continuation-token", ["0"])[0])
        last = min(first + PAGE, self.count)
        objects = "".join(
            f"<Contents><Key>logs/{n:06}.gz</Key><LastModified>2026-11-25T10:00:00.000Z"
            f"</LastModified><ETag>&quot;{n}&quot;</ETag>"
            f"<Size>{len(self.bodies[n % len(self.bodies)])}</Size></Contents>"
            for n in range(first, last)
        )
        more = f"<NextContinuationToken>{last}</NextContinuationToken>" if last < self.count else ""
        return f"<ListBucketResult>{more}{objects}</ListBucketResult>".encode()

    def send(self, body: bytes, kind: str) -> None:
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nContent-Type: {kind}\r\n"
            f'ETag: "0"\r\nLast-Modified: {DATE}\r\n\r\n'
        )
        answer = (head.encode(), body)
        if not self.link:
            self.transport.writelines(answer)
            return
        loop = asyncio.get_running_loop()
        Server.free_at = max(Server.free_at, loop.time()) + len(body) / self.link
        loop.call_at(Server.free_at, self.transport.writelines, answer)


async def main() -> None:
    """Serves until it is killed."""
    directory, count, latency, megabits = sys.argv[1:]
    Server.bodies = [path.read_bytes() for path in sorted(Path(directory).iterdir())]
    Server.count, Server.latency = int(count), float(latency)
    Server.link = float(megabits) * 1e6 / 8
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
