"""A shop's catalogue as one long CSV, sent in pieces as it would come from a database's cursor."""

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from .settings import severity

ROWS_PER_PIECE = 1024
PIECES = round(2 * severity())
PIECE = b"".join(
    b"%08d;article %08d;%08d;in stock and ready to leave today\n" % (n, n, n) for n in range(ROWS_PER_PIECE)
)


async def rows(pieces: int) -> AsyncIterator[bytes]:
    """Yield the catalogue, 1,024 rows at a time."""
    for _ in range(pieces):
        yield PIECE


async def export(request: Request) -> StreamingResponse:
    """Send the catalogue of a shop."""
    name = f"catalogue-{request.path_params['shop']}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-length": str(PIECES * len(PIECE))}
    return StreamingResponse(rows(PIECES), media_type="text/csv", headers=headers)


app = Starlette(routes=[Route("/shops/{shop:int}/catalogue.csv", export)])
