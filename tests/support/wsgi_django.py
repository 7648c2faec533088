"""Settings, URLs and views of a Django app whose figures are known; served under the probe by the tests."""

import os
import time
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path

ALLOWED_HOSTS = ["*"]
DEBUG = False
ROOT_URLCONF = __name__
SECRET_KEY = "of a test"
USE_TZ = True
WSGI_APPLICATION = "wsgi_django_app.application"


def root(_: HttpRequest) -> HttpResponse:
    """Answer at once."""
    return HttpResponse(str(os.getpid()))


def hold(_: HttpRequest, milliseconds: int) -> HttpResponse:
    """Hold a worker slot."""
    time.sleep(milliseconds / 1000)
    return HttpResponse("held")


def stream(_: HttpRequest, milliseconds: str) -> StreamingHttpResponse:
    """Hold a worker slot while the response goes out."""

    def chunks() -> Iterator[str]:
        for _ in range(2):
            time.sleep(int(milliseconds) / 2000)
            yield "chunk"

    return StreamingHttpResponse(chunks())


def fail(_: HttpRequest, number: int) -> HttpResponse:
    """Raise."""
    raise ValueError(number)


shop = [
    path("hold/<int:milliseconds>", hold),
    re_path(r"^stream/(?P<milliseconds>[0-9]+)$", stream),
    path("fail/<int:number>", fail),
]
urlpatterns = [path("", root), path("shop/", include(shop))]
