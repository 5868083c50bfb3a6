"""An S3 server on this machine (moto's, in memory), and buckets in it that nobody else uses."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest

from fsar_core.storage import object_client
from fsar_core.storage.object_paths import ObjectPath


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Of the server, at a free port of the loopback."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def new_bucket(address: str, environment: pytest.MonkeyPatch) -> ObjectPath:
    """An empty bucket; the variables of the environment say where it is and who may use it."""
    import boto3

    told = {
        "ENDPOINT_URL": address,
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
        "REGION": "us-east-1",
    }
    for name, value in told.items():
        environment.setenv(f"AWS_{name}", value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        environment.delenv(name, raising=False)
    object_client.client.cache_clear()
    name = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", region_name="us-east-1", endpoint_url=address).create_bucket(Bucket=name)
    return ObjectPath(name)


@pytest.fixture
def bucket(s3_address, monkeypatch) -> Iterator[ObjectPath]:
    yield new_bucket(s3_address, monkeypatch)
    object_client.client.cache_clear()
