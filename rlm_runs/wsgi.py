"""The WSGI application, for gunicorn and any other server."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")
application = get_wsgi_application()

# Imported at start, because the first request would wait for them. Workers and commands import SciPy on first use.
for module in (settings.ROOT_URLCONF, "scipy.optimize", "scipy.special"):
    import_module(module)
