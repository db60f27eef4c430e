"""Images, one per set of packages, built through the engine's API and found by a hash of their content.

A build has two stages, so that no cache, certificate, proxy or wheel stays in the image: packages are installed
into their own tree, and only that tree is copied onto the base.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import tarfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import docker.errors
from docker.api.client import APIClient

from sandbox import debian_base, requirements
from sandbox.contract import ImageError
from sandbox.settings import NO_INDEX, SandboxSettings

logger = logging.getLogger(__name__)

REPOSITORY = "rlm-sandbox"
BOX_DIR = "/opt/rlm-sandbox"
USER = "65500:65500"

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""Matches the colour codes with which the engine marks standard error."""
_INSIDE = Path(__file__).parent / "inside"
_DOCKERFILE = f"""\
FROM {{base}} AS packages
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
COPY build/ /build/
RUN install -D /build/requirements.txt /installed{BOX_DIR}/requirements.txt && \\
    if [ -s /build/requirements.txt ]; then \\
    if [ -s /build/ca.pem ]; then export PIP_CERT=/build/ca.pem SSL_CERT_FILE=/build/ca.pem; fi; \\
    PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \\
    python3 -m pip install --no-cache-dir --no-compile --root /installed {{wheels}} \\
    --requirement /build/requirements.txt; fi

FROM {{base}}
COPY --from=packages /installed/ /
COPY inside/ {BOX_DIR}/inside/
RUN echo "sandbox:x:65500:65500::/tmp:/usr/sbin/nologin" >> /etc/passwd && \\
    python3 -m compileall -q {BOX_DIR} && \\
    python3 -c 'import compileall, site; [compileall.compile_dir(one, quiet=2) for one in site.getsitepackages()]'
USER {USER}
WORKDIR /tmp
RUN {{check}}
"""


@dataclass(frozen=True)
class _Recipe:
    """Everything that determines an image's content."""

    base: str
    packages: tuple[str, ...]

    @property
    def tag(self) -> str:
        parts = [_DOCKERFILE.encode(), self.base.encode(), "\n".join(self.packages).encode()]
        parts += [path.name.encode() + b"\0" + path.read_bytes() for path in _inside_files()]
        digest = hashlib.sha256(b"\0\0".join(parts)).hexdigest()
        return f"{REPOSITORY}:{digest[:24]}"


class Images:
    """The images of one engine."""

    def __init__(self, client: APIClient, *, settings: SandboxSettings) -> None:
        self._client = client
        self._settings = settings
        self._ready: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()

    def prepare(self, packages: tuple[str, ...]) -> str:
        """Returns the tag of the image with these packages, building it if required. Raises ImageError."""
        packages = requirements.normalized(packages)
        with self._lock:  # one build at a time: it is rare and uses the whole machine
            if packages not in self._ready:
                recipe = _Recipe(base=self._base(), packages=packages)
                if not self._has(recipe.tag):
                    self._build(recipe)
                self._ready[packages] = recipe.tag
            return self._ready[packages]

    def forget(self) -> None:
        """Forgets all prepared images, because one was removed from the engine."""
        with self._lock:
            self._ready.clear()

    def _has(self, tag: str) -> bool:
        return self._id(tag) is not None

    def _id(self, tag: str) -> str | None:
        try:
            return str(self._client.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound:
            return None

    def _base(self) -> str:
        """Returns the id of the base image: the configured one, else one built here before, else pulled, else
        built.
        """
        wanted = self._settings.base_image
        found = self._id(wanted) or self._id(debian_base.tag())
        if found is None:
            found = self._pulled(wanted) or self._id(debian_base.build(self._client, log=self._log("base")))
        if found is None:
            raise ImageError("the base image vanished while it was used")
        return found

    def _pulled(self, name: str) -> str | None:
        try:
            self._client.pull(name)
        except docker.errors.APIError as error:
            logger.warning("the base image %s cannot be pulled: %s", name, error)
        return self._id(name)

    def _log(self, name: str) -> Path:
        folder = self._settings.state_dir / "builds"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def _build(self, recipe: _Recipe) -> None:
        log = self._log(recipe.tag.partition(":")[2])
        logger.info("building sandbox image %s with %s; log in %s", recipe.tag, recipe.packages, log)
        buildargs = dict(self._settings.proxies)
        if self._settings.index_url == NO_INDEX:
            buildargs["PIP_NO_INDEX"] = "1"
        elif self._settings.index_url:
            buildargs["PIP_INDEX_URL"] = self._settings.index_url
        lines: list[str] = []
        try:
            answers = self._client.build(
                fileobj=_context(recipe, self._settings),
                custom_context=True,
                tag=recipe.tag,
                rm=True,
                forcerm=True,
                decode=True,
                buildargs=buildargs,
                network_mode=self._settings.build_network or None,
                labels={f"{REPOSITORY}.packages": json.dumps(recipe.packages)},
            )
            failure = _read(answers, lines)
        except docker.errors.APIError as error:
            failure = str(error)
        finally:
            log.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        if failure or not self._has(recipe.tag):
            told = "".join(lines)
            culprit = _failed_packages(told, recipe.packages)
            raise ImageError(
                f"the image for {culprit} could not be built: {_error_line(told) or failure}; log: {log}", log=told
            )


def _read(answers: Iterable[dict[str, str]], lines: list[str]) -> str:
    """Collects the build's output in `lines`. Returns its error, "" if it succeeded."""
    failure = ""
    for answer in answers:
        lines.append(_COLOURS.sub("", answer.get("stream", "")))
        if "error" in answer:
            failure = answer["error"]
            lines.append(failure + "\n")
    return failure


def _error_line(log: str) -> str:
    """Returns the last error line of pip or of the import check, which names the problem."""
    told = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    return told[-1] if told else ""


def _failed_packages(log: str, packages: tuple[str, ...]) -> str:
    """Returns the packages that the error lines name; all of them if they name none."""
    errors = " ".join(line for line in log.splitlines() if line.startswith("ERROR: ")).lower()
    named = [
        one
        for one in packages
        if re.search(rf"(?<![\w-]){re.escape(requirements.name_of(one).lower())}(?![\w-])", errors)
    ]
    return ", ".join(named or packages) or "no packages"


def _inside_files() -> list[Path]:
    return sorted(_INSIDE.glob("*.py"))


def _context(recipe: _Recipe, settings: SandboxSettings) -> io.BytesIO:
    """Returns the build's files as a tar archive in memory."""
    names = " ".join(requirements.name_of(one) for one in recipe.packages)
    check = f"python3 {BOX_DIR}/inside/import_check.py {names}" if names else "true"
    wheels = "--find-links /build/wheels" if settings.wheels else ""
    files = {"Dockerfile": _DOCKERFILE.format(base=recipe.base, wheels=wheels, check=check).encode()}
    files["build/requirements.txt"] = "".join(f"{one}\n" for one in recipe.packages).encode()
    files["build/ca.pem"] = settings.ca_bundle.read_bytes() if settings.ca_bundle else b""
    files |= {f"inside/{path.name}": path.read_bytes() for path in _inside_files()}
    if settings.wheels:
        files |= {f"build/wheels/{path.name}": path.read_bytes() for path in settings.wheels.glob("*.whl")}
    return _tar(files.items())


def _tar(files: Iterable[tuple[str, bytes]]) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
    archive.seek(0)
    return archive
