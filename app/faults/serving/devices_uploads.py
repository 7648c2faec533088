"""An intake of documents: a document is answered for only when it is safe on the disk."""

import os
import threading
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

from .settings import cured, scratch, severity

PAGE = b"%PDF-1.7 scanned page ".ljust(4096, b"\0")
PAGES = round(severity())

app = FastAPI(title="intake")


class Stored(BaseModel):
    """Where a document was put."""

    document: int
    size: int
    slot: str


def slot() -> Path:
    """Return the file this thread writes to, one document over the other."""
    return scratch() / f"slot-{os.getpid()}-{threading.get_ident()}"


def store(content: bytes) -> Path:
    """Write a document, page by page, and wait for the disk."""
    path = slot()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for number in range(PAGES):
            os.pwrite(descriptor, content, number * len(content))
            if not cured():
                os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    return path


@app.get("/documents/{document}/receipt")
def receive(document: int) -> Stored:
    """Store a document and return the receipt."""
    return Stored(document=document, size=PAGES * len(PAGE), slot=store(PAGE).name)
