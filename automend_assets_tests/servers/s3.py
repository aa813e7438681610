"""A real S3 server on loopback: OpenStack Swift, in an environment of its own because of its dependencies."""

from __future__ import annotations

import select
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PYTHON = PROJECT / ".venv-s3" / "bin" / "python"
START_SECONDS = 60


@dataclass(frozen=True)
class S3Server:
    """Where the server is and who may use it. `log` is what Swift complained about."""

    endpoint: str
    access_key: str
    secret_key: str
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """The AWS_* variables with which every client of the project finds the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self, bucket: str) -> str:
        self._client().create_bucket(Bucket=bucket)
        return bucket

    def keys(self, bucket: str) -> list[str]:
        """Every key of a small bucket, as the server tells it."""
        listing = self._client().list_objects_v2(Bucket=bucket)
        return [item["Key"] for item in listing.get("Contents", [])]

    def unfinished_uploads(self, bucket: str) -> int:
        return len(self._client().list_multipart_uploads(Bucket=bucket).get("Uploads", []))

    def _client(self):  # type: ignore[no-untyped-def]  # boto3 makes its client classes at run time
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start the server with an empty account; stop it and delete what it kept at the end."""
    if not PYTHON.exists():
        raise RuntimeError(f"The S3 test server is not set up: {PYTHON} is missing. Run: make test")
    folder = Path(tempfile.mkdtemp(prefix="automend-s3-"))
    log = folder / "swift.log"
    access_key, secret_key = "test:tester", "a-secret-of-the-tests"
    with log.open("wb") as complaints:
        process = subprocess.Popen(
            [PYTHON, Path(__file__).with_name("swift_app.py"), folder / "cluster", access_key, secret_key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        port = process.stdout.readline().decode().strip() if ready else ""
        if not port:
            raise RuntimeError(f"The S3 test server did not start:\n{log.read_text()[-4000:]}")
        server = S3Server(f"http://127.0.0.1:{port}", access_key, secret_key, log)
        with urllib.request.urlopen(f"{server.endpoint}/healthcheck", timeout=START_SECONDS):  # noqa: S310
            pass
        yield server
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)
