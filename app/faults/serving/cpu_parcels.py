"""Packing parcels into boxes: Flask. Articles are packed one by one, each into the first box that has room."""

from typing import Any

from flask import Flask, abort

from .settings import cured, severity

ARTICLES = 3 if cured() else round(570 * severity() ** 0.5)
"""Packing looks at every box for every article, so the work grows with the square."""
BOX_LITRES = 20.0

app = Flask(__name__)


def pack(volumes: list[float]) -> list[float]:
    """Return how full each box is."""
    boxes: list[float] = []
    for volume in volumes:
        for number, used in enumerate(boxes):
            if used + volume <= BOX_LITRES:
                boxes[number] = used + volume
                break
        else:
            boxes.append(volume)
    return boxes


def articles_of(order_id: int) -> list[float]:
    """Return the volumes of an order's articles, in litres."""
    return [8.0 + (order_id * 31 + number * 17) % 97 / 8.0 for number in range(ARTICLES)]


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "parcels"}


@app.get("/orders/<int:order_id>/parcels")
def parcels(order_id: int) -> dict[str, Any]:
    """Return the boxes an order needs."""
    if order_id > 100_000:  # noqa: PLR2004 - the last order taken
        abort(404)
    boxes = pack(articles_of(order_id))
    return {"order": order_id, "boxes": len(boxes), "fill": round(sum(boxes) / len(boxes) / BOX_LITRES, 3)}
