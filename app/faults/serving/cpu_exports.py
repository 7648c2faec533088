"""Compressed exports of a price list: FastAPI, plain `def`, so in its threadpool."""

import zlib

from fastapi import FastAPI, Response

from .settings import cured, severity

ROWS = round(2_400 * severity())

app = FastAPI(title="Exports")


def price_list(rows: int) -> bytes:
    """Return the list as CSV."""
    lines = (f"{row};article {row * 7919 % 100_003};{row * 31 % 997 / 10:.2f};{row % 19}\n" for row in range(rows))
    return "".join(lines).encode()


PRICES = price_list(ROWS)
READY = zlib.compress(PRICES, 9)


def compressed(shop_id: int) -> bytes:
    """Return the list for one shop, which has its number in the head."""
    if cured():
        return READY
    return zlib.compress(b"shop %d\n" % shop_id + PRICES, 9)


@app.get("/")
def home() -> dict[str, int]:
    """Say how many rows there are."""
    return {"rows": ROWS}


@app.get("/shops/{shop_id}/prices")
def prices(shop_id: int) -> Response:
    """Return a shop's price list."""
    body = compressed(shop_id)
    return Response(body[:2_000], media_type="application/octet-stream", headers={"x-size": str(len(body))})
