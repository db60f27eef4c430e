"""Settings come from the environment, and a value that cannot be read is named."""

from pathlib import Path

import pytest

from sandbox.backends import open_backend
from sandbox.contract import SandboxError
from sandbox.settings import SandboxSettings


def test_an_empty_environment_gives_the_defaults():
    assert SandboxSettings.from_environment({}) == SandboxSettings()


def test_values_are_read():
    settings = SandboxSettings.from_environment(
        {
            "SANDBOX_BASE_IMAGE": "base",
            "SANDBOX_RUNTIME": "runsc",
            "SANDBOX_POOL_SIZE": "7",
            "SANDBOX_POOL_AGE_SECONDS": "60",
            "SANDBOX_STATE_DIR": "/state",
            "SANDBOX_WHEELS": "/wheels",
            "SSL_CERT_FILE": "/ca.pem",
            "HTTPS_PROXY": "proxy",
        }
    )
    assert (settings.base_image, settings.runtime, settings.pool_size) == ("base", "runsc", 7)
    assert (settings.pool_age_seconds, settings.state_dir) == (60.0, Path("/state"))
    assert (settings.wheels, settings.ca_bundle) == (Path("/wheels"), Path("/ca.pem"))
    assert settings.proxies == {"HTTPS_PROXY": "proxy"}


@pytest.mark.parametrize("value", ["many", "-1", "nan", "inf", "1e12"])
def test_a_bad_number_is_named(value):
    with pytest.raises(ValueError, match="SANDBOX_POOL_SIZE"):
        SandboxSettings.from_environment({"SANDBOX_POOL_SIZE": value})


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="podman"):
        open_backend("podman", SandboxSettings())


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


def test_without_an_engine_auto_means_process(no_engine):
    backend = open_backend("auto", SandboxSettings())
    assert backend.name == "process"
    backend.close()


def test_without_an_engine_docker_says_why(no_engine):
    with pytest.raises(SandboxError, match="no container engine answers"):
        open_backend("docker", SandboxSettings())
