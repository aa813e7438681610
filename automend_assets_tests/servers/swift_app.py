"""OpenStack Swift with its S3 API, the whole cluster in one process. Run by `.venv-s3`, see `s3.py`.

    swift_app.py FOLDER ACCOUNT:USER SECRET

Prints the port of the S3 endpoint on 127.0.0.1 once it listens and stops when its standard input closes, so
that it never outlives the test process. Everything it keeps is in FOLDER.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()  # before anything that imports socket or threading

import logging  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from eventlet import tpool, wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, loadapp  # noqa: E402

STORAGE_SERVERS = ("account", "container", "object")

SWIFT_CONF = """
[swift-hash]
swift_hash_path_prefix = automend
swift_hash_path_suffix = tests
[storage-policy:0]
name = only
default = yes
"""

DEFAULTS = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
workers = 0
log_level = ERROR
"""

STORAGE_CONF = """
[pipeline:main]
pipeline = {server}-server
[app:{server}-server]
use = egg:swift#{server}
"""

PROXY_CONF = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats s3api tempauth bulk slo symlink
    versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
rate_limit_after_segment = 100000
[filter:symlink]
use = egg:swift#symlink
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""


def main(folder: Path, user: str, secret: str) -> None:
    (folder / "devices" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text(SWIFT_CONF)
    utils.set_swift_dir(str(folder))
    utils.validate_hash_conf()

    # The sockets come first: the rings must name ports that nobody else can take any more.
    sockets = {name: eventlet.listen(("127.0.0.1", 0), backlog=512) for name in (*STORAGE_SERVERS, "proxy")}
    account, _, person = user.partition(":")
    defaults = DEFAULTS.format(folder=folder)
    for name in STORAGE_SERVERS:
        write_ring(folder / f"{name}.ring.gz", port_of(sockets[name]))
        (folder / f"{name}.conf").write_text(defaults + STORAGE_CONF.format(server=name))
    (folder / "proxy.conf").write_text(
        defaults + PROXY_CONF.format(account=account, user=person, secret=secret)
    )
    apps = {
        name: loadapp(str(folder / f"{name}.conf"), global_conf={"log_level": "ERROR"}) for name in sockets
    }
    for name, app in apps.items():
        eventlet.spawn(serve, app, sockets[name])

    print(port_of(sockets["proxy"]), flush=True)
    tpool.execute(sys.stdin.read)
    os._exit(0)


def write_ring(path: Path, port: int) -> None:
    """One replica on one device: the smallest ring Swift accepts."""
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    where = {"region": 1, "zone": 1, "device": "disk", "weight": 1.0}
    builder.add_dev(
        where | {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    )
    builder.rebalance()
    builder.get_ring().save(str(path))


def serve(app: object, listening: eventlet.greenio.GreenSocket) -> None:
    log = logging.getLogger("swift_app")
    log.setLevel(logging.CRITICAL)
    wsgi.server(
        listening,
        app,
        log=log,
        log_output=False,
        protocol=SwiftHttpProtocol,
        capitalize_response_headers=False,
    )


def port_of(listening: eventlet.greenio.GreenSocket) -> int:
    return listening.getsockname()[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
