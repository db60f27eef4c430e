"""The WSGI application, for gunicorn and any other server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")
application = get_wsgi_application()
