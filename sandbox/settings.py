"""The settings of a program's sandboxes, read from its environment. `docs/sandbox.md` lists them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NO_INDEX = "none"
_PROXY_NAMES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CA_NAMES = ("SANDBOX_CA_BUNDLE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True)
class SandboxSettings:
    base_image: str = "python:3.12-slim"
    """The base image. If it is not present and cannot be pulled, one is built from Debian packages."""
    runtime: str = ""
    """The engine's runtime, such as `runsc`; empty for the engine's default."""
    pool_size: int = 2
    """The number of sandboxes kept warm for each spec in use."""
    pool_age_seconds: float = 900.0
    pool_idle_seconds: float = 300.0
    """Seconds without demand after which a spec is no longer kept warm."""
    state_dir: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / "rlm-sandbox")
    """The folder for build logs and for the scratch folders of the process backend."""
    build_network: str = ""
    """The network of an image's build; empty for the engine's default."""
    ca_bundle: Path | None = None
    """Certificates that pip trusts during a build, for a private CA."""
    wheels: Path | None = None
    """A folder of wheels that pip may install packages from."""
    index_url: str = ""
    """A package index instead of pip's default; `none` restricts pip to the wheel folder."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """`http_proxy` and similar variables, for builds only."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> SandboxSettings:
        """Returns the settings. Raises ValueError, which names the variable, if a value cannot be read."""
        default = cls()

        def text(name: str, otherwise: str) -> str:
            return environ.get(f"SANDBOX_{name}", otherwise)

        def number(name: str, otherwise: float) -> float:
            given = environ.get(f"SANDBOX_{name}", "")
            try:
                value = float(given) if given else otherwise
            except ValueError:
                raise ValueError(f"SANDBOX_{name} is not a number: {given!r}") from None
            if not 0 <= value < 1e9:
                raise ValueError(f"SANDBOX_{name} is out of range: {given!r}")
            return value

        return cls(
            base_image=text("BASE_IMAGE", default.base_image),
            runtime=text("RUNTIME", default.runtime),
            pool_size=int(number("POOL_SIZE", default.pool_size)),
            pool_age_seconds=number("POOL_AGE_SECONDS", default.pool_age_seconds),
            pool_idle_seconds=number("POOL_IDLE_SECONDS", default.pool_idle_seconds),
            state_dir=Path(text("STATE_DIR", str(default.state_dir))),
            build_network=text("BUILD_NETWORK", default.build_network),
            ca_bundle=_file(environ),
            wheels=Path(environ["SANDBOX_WHEELS"]) if environ.get("SANDBOX_WHEELS") else None,
            index_url=text("INDEX_URL", default.index_url),
            proxies={name: environ[name] for name in _PROXY_NAMES if environ.get(name)},
        )


def _file(environ: Mapping[str, str]) -> Path | None:
    for name in _CA_NAMES:
        if environ.get(name):
            return Path(environ[name])
    return None
