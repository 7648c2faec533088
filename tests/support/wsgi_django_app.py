"""The Django app as servers load it, for WSGI and for ASGI."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wsgi_django")
application = get_wsgi_application()
asgi = get_asgi_application()
