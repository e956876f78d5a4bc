"""Servers that tests read from; each is started once a session, when a test first needs it."""

import logging
import signal

import pytest
from servers import GROUP, FaultServer

# A job that a shell put into the background ignores Ctrl-C, and so would the programs under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def moto_url():
    """Where moto answers for AWS, over real HTTP."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url, monkeypatch, tmp_path):
    """An empty AWS account that this process and its children use; gives boto3's `client`."""
    import boto3
    import requests

    for name, value in {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "canary-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
    }.items():
        monkeypatch.setenv(name, value)
    requests.post(f"{moto_url}/moto-api/reset", timeout=60)
    return boto3.client


@pytest.fixture
def no_quota(monkeypatch):
    """Log groups that may be read as often as one likes."""
    monkeypatch.setattr("metricsieve.sources.cloudwatch_logs.CALLS_A_SECOND", 1000.0)


@pytest.fixture
def logs(aws, no_quota):
    """The client of CloudWatch Logs, with SageMaker's group."""
    client = aws("logs")
    client.create_log_group(logGroupName=GROUP)
    return client


@pytest.fixture
def fault_server():
    """An HTTP server that answers what a test tells it to."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def service(fault_server, aws, monkeypatch):
    """The same in the place of AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault_server.url)
    return fault_server
