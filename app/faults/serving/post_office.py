"""A mail relay that accepts every mail, and takes its time over it. It keeps none.

    python -m pinchpoint.app.faults.serving.post_office --port 8125 --delay-ms 10

The delay (times the severity) is between the end of a mail and its acceptance, as with a relay that checks content.
"""

import argparse
import asyncio
import contextlib

from .settings import severity

_ANSWERS = {b"EHLO": b"250 relay", b"HELO": b"250 relay", b"DATA": b"354 go ahead", b"QUIT": b"221 bye"}
_END = b"."


class Relay:
    """Speaks as much of RFC 5321 as a sending client needs."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.accepted = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves."""
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            writer.write(b"220 relay ready\r\n")
            while line := await reader.readline():
                verb = line[:4].strip().upper()
                writer.write(_ANSWERS.get(verb, b"250 ok") + b"\r\n")
                if verb == b"DATA":
                    await self._take(reader)
                    writer.write(b"250 queued\r\n")
                elif verb == b"QUIT":
                    await writer.drain()
                    return

    async def _take(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.rstrip(b"\r\n") == _END:
                break
        await asyncio.sleep(self.delay_s)
        self.accepted += 1


async def serve(relay: Relay, host: str, port: int) -> None:
    """Serve until cancelled. Raises OSError if the port is taken."""
    server = await asyncio.start_server(relay.talk, host, port, backlog=4096)
    async with server:
        await server.serve_forever()


def main(argv: list[str] | None = None) -> None:
    """Read the command line and serve. Raises SystemExit (2) for a bad one."""
    parser = argparse.ArgumentParser(description="Accepts every mail, slowly.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    given = parser.parse_args(argv)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Relay(given.delay_ms / 1000 * severity()), "127.0.0.1", given.port))


if __name__ == "__main__":
    main()
