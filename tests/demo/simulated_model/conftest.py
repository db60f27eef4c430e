"""A demo server per test, and the SDK's client on it."""

import openai
import pytest

from rlm_runs.demo.simulated_model.options import DemoOptions
from rlm_runs.demo.simulated_model.server import DemoServer


@pytest.fixture
def serve():
    """Starts servers with the options given, and stops them after the test."""
    started = []

    def start(**options):
        server = DemoServer(DemoOptions(**options))
        server.start()
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="demo", max_retries=0)
        started.append((server, client))
        return client

    yield start
    for server, client in started:
        client.close()
        server.stop()


@pytest.fixture
def client(serve):
    return serve()
