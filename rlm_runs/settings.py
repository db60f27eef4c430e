"""The settings, read from the environment. `docs/architecture.md` lists the variables.

Each has an embedded default under `var/`, so that a laptop needs no service. An invalid value stops the start with
the variable's name.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import plotly
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from rlm_runs.observability.logs import FORMATS, logging_config

# Web processes and workers share few cores. A matrix product on all of them would wait for the other processes. It
# must be set before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("RLM_VAR_DIR", BASE_DIR / "var"))


def _flag(name: str, *, default: bool) -> bool:
    text = os.environ.get(name, "1" if default else "0")
    if text not in ("0", "1"):
        raise ImproperlyConfigured(f"{name} must be 0 or 1, not {text!r}")
    return text == "1"


def _integer(name: str, *, default: int, least: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) < least:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {least}, not {text!r}")
    return int(text)


def _names(name: str, *, default: str = "") -> tuple[str, ...]:
    return tuple(part.strip() for part in os.environ.get(name, default).split(",") if part.strip())


def _secret_key() -> str:
    """Returns SECRET_KEY, else a key that is created on first use and kept, so that sessions survive a restart."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = VAR_DIR / "secret_key"
    if not path.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"secret_key.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            os.link(fresh, path)  # atomic: if two processes start at once, one wins and both read its key
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


_PLANNER = "-c random_page_cost=1.1 -c jit=off"
"""Options of each connection. By default, Postgres assumes spinning disks and reads whole tables instead of part
of an index, and its JIT compiler costs more than a page's queries. `options` in DATABASE_URL override these.
"""


_NETWORK = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Seconds, and milliseconds for the last, after which a database that does not respond counts as unavailable."""
_POOL = {"timeout": 4, "reconnect_timeout": 1}
"""Seconds for which a caller waits for a connection before it asks again. The pool's own waits double up to
minutes, and would delay work by as much after the database returns.
"""


def _database() -> dict[str, Any]:
    """Returns the database of DATABASE_URL, else the embedded Postgres that `make demo` and `make test` start."""
    address_file = VAR_DIR / "database_url"
    embedded = address_file.read_text() if address_file.exists() else f"host={VAR_DIR}/postgres user=postgres"
    try:
        parts = conninfo_to_dict(os.environ.get("DATABASE_URL") or embedded)
    except Exception as error:
        raise ImproperlyConfigured(f"DATABASE_URL is not a Postgres address: {error}") from error
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "postgres"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        # A pool per process: a Celery thread borrows a connection for a moment, not for a whole rollout.
        "OPTIONS": {
            **_NETWORK,
            **parts,
            "options": f"{_PLANNER} {parts.get('options', '')}".strip(),
            "pool": {"min_size": 0, "max_size": _integer("DATABASE_POOL", default=16, least=2), **_POOL},
        },
    }


SECRET_KEY = _secret_key()
DEBUG = _flag("DEBUG", default=False)
ALLOWED_HOSTS = list(_names("ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]"))
CSRF_TRUSTED_ORIGINS = list(_names("CSRF_TRUSTED_ORIGINS"))

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django_htmx",
    "rlm_runs",
    "dashboard",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "dashboard.middleware.content_security_policy",
    "django.middleware.gzip.GZipMiddleware",
    "dashboard.sharing.middleware.shared_links",
    "dashboard.middleware.short_addresses",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "dashboard.sharing.middleware.LoginOrLinkRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

_PAGE_TAGS = {
    file.parent.name: f"dashboard.{file.parent.name}.tags" for file in BASE_DIR.glob("dashboard/*/tags.py")
}
"""Template tags of a page, loaded by the page's name."""
ROOT_URLCONF = "rlm_runs.urls"
WSGI_APPLICATION = "rlm_runs.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.permissions.surroundings",
            ],
            # Tags that belong to one page are in its folder.
            "libraries": {
                file.parent.name: f"dashboard.{file.parent.name}.tags"
                for file in BASE_DIR.glob("dashboard/*/tags.py")
            },
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
        },
    }
]

DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

STATIC_URL = "/static/"  # absolute, because pages of shared links have a prefix and static files do not
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [("plotly", Path(plotly.__file__).parent / "package_data")]
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns if it is missing
WHITENOISE_USE_FINDERS = True  # no collectstatic needed

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _flag("HTTPS_ONLY", default=False)
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "filesystem://localhost")
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = TIME_ZONE
# Rollouts run in threads of the dispatcher; the pool only receives messages that wake it. Its size is the number
# of concurrent rollouts.
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = 100
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker outlives its broker
if CELERY_BROKER_URL.startswith("redis"):
    # Seconds. Without them, a broker that accepts connections but never responds would block its callers forever.
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
    }
if CELERY_BROKER_URL.startswith("filesystem:"):
    _broker_dir = VAR_DIR / "broker"
    for _folder in ("queue", "processed", "control"):
        (_broker_dir / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker_dir / "queue"),
        "data_folder_out": str(_broker_dir / "queue"),
        "processed_folder": str(_broker_dir / "processed"),
        "control_folder": str(_broker_dir / "control"),
        "store_processed": False,
    }

# Seconds. A worker that has not renewed its lease for this long counts as dead.
RLM_LEASE_SECONDS = _integer("RLM_LEASE_SECONDS", default=8, least=3)
RLM_SWEEP_SECONDS = _integer("RLM_SWEEP_SECONDS", default=2, least=1)
# Seconds for which a worker waits for an unavailable database before it gives up its rollouts.
RLM_DATABASE_PATIENCE = _integer("RLM_DATABASE_PATIENCE", default=900, least=1)
# Seconds for which a rollout waits for an unavailable container engine before it fails.
RLM_ENGINE_PATIENCE = _integer("RLM_ENGINE_PATIENCE", default=300, least=1)
RLM_MAX_CONTAINERS = _integer("RLM_MAX_CONTAINERS", default=400, least=1)
RLM_MODEL_CONNECTIONS = _integer("RLM_MODEL_CONNECTIONS", default=1000, least=1)
RLM_ENDPOINTS_FILE = Path(os.environ.get("RLM_ENDPOINTS_FILE", BASE_DIR / "endpoints.toml"))
# Files that a spec from the launch form may name. Every logged-in user can make the server read them.
RLM_DATA_DIR = Path(os.environ.get("RLM_DATA_DIR", VAR_DIR / "data"))
RLM_EXTRA_MODELS = _names("RLM_EXTRA_MODELS")
RLM_SANDBOX = os.environ.get("RLM_SANDBOX", "auto")
if RLM_SANDBOX not in ("auto", "docker", "process"):
    raise ImproperlyConfigured(f"RLM_SANDBOX must be auto, docker or process, not {RLM_SANDBOX!r}")
# The process sandbox has no walls. These models, by name, may run code in it nevertheless.
RLM_PROCESS_SANDBOX_MODELS = _names("RLM_PROCESS_SANDBOX_MODELS")

# Metrics of a worker process: the first port to try (0 for none), its address, and the token that scrapers send.
RLM_METRICS_PORT = _integer("RLM_METRICS_PORT", default=0, least=0)
RLM_METRICS_HOST = os.environ.get("RLM_METRICS_HOST", "127.0.0.1")
RLM_METRICS_TOKEN = os.environ.get("RLM_METRICS_TOKEN", "")

LOG_FORMAT = os.environ.get("LOG_FORMAT", "console")
if LOG_FORMAT not in FORMATS:
    raise ImproperlyConfigured(f"LOG_FORMAT must be {' or '.join(FORMATS)}, not {LOG_FORMAT!r}")
LOGGING = logging_config(log_format=LOG_FORMAT, level=os.environ.get("LOG_LEVEL", "INFO"))
