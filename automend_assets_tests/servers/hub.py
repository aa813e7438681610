"""A Hugging Face Hub on loopback, for the unmodified clients: `datasets`, `huggingface_hub`, `transformers`.

What belongs here: the part of the Hub's HTTP protocol that those clients use to read and to write datasets
and models, access control, and faults on demand. What does not: assertions, and data (a folder laid out as
`{datasets,models}/OWNER/NAME/...` is served as the first commit of each repository).

    with LoopbackHub(folder) as hub:
        hub.fail(r"/_cdn/", status=503, times=2)
        subprocess.run([...], env=os.environ | hub.environment(tmp_path))
        assert any(r.path.startswith("/_cdn/") for r in hub.requests)
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

LFS_SUFFIXES = (".parquet", ".safetensors", ".bin", ".gz", ".zip", ".arrow", ".pt", ".onnx", ".npz", ".zst")
LFS_BYTES = 10 << 20
TREE_PAGE = 1_000
LONG_AGO = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class User:
    """Whom a token stands for. `write` tokens may create, upload and delete."""

    name: str
    write: bool = False


@dataclass(frozen=True)
class Logged:
    """One request as it arrived; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass
class Fault:
    """What happens to the next `times` requests whose path matches: a wait, `status`, or a cut body."""

    match: str
    times: int = 1
    method: str | None = None
    delay: float = 0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    truncate: int | None = None


@dataclass(frozen=True)
class _Blob:
    path: Path
    size: int
    sha256: str
    oid: str
    lfs: bool


@dataclass(frozen=True)
class _Commit:
    sha: str
    parent: str | None
    title: str
    tree: dict[str, _Blob]


@dataclass
class _Repo:
    kind: str
    name: str
    private: bool = False
    gated: bool = False
    allowed: set[str] = field(default_factory=set)
    commits: dict[str, _Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, tree: dict[str, _Blob], title: str, branch: str = "main") -> str:
        parent = self.branches.get(branch)
        files = [(path, blob.sha256) for path, blob in sorted(tree.items())]
        what = json.dumps([self.kind, self.name, parent, title, files])
        sha = hashlib.sha1(what.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = _Commit(sha, parent, title, tree)
        self.branches[branch] = sha
        return sha

    def at(self, revision: str) -> _Commit:
        revision = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        sha = self.branches.get(revision) or self.tags.get(revision)
        if sha is None and len(revision) >= 7:
            sha = next((known for known in self.commits if known.startswith(revision)), None)
        if sha is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[sha]


def _last_commit(repo: _Repo, commit: _Commit, path: str) -> dict[str, str]:
    """The commit that gave a file its content, or a folder one of its own; a minute lies between two commits."""

    def content(at: _Commit) -> dict[str, str]:
        return {
            name: blob.sha256 for name, blob in at.tree.items() if name == path or name.startswith(f"{path}/")
        }

    while commit.parent and content(repo.commits[commit.parent]) == content(commit):
        commit = repo.commits[commit.parent]
    age, before = 0, commit.parent
    while before:
        age, before = age + 1, repo.commits[before].parent
    return {
        "id": commit.sha,
        "title": commit.title,
        "date": LONG_AGO.replace("00:00.000", f"{age:02d}:00.000"),
    }


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = ({"X-Error-Code": code} if code else {}) | {"X-Error-Message": message} | headers


class LoopbackHub:
    """The Hub, while the `with` block lasts. `requests` is the log of what arrived, in order."""

    def __init__(self, root: Path | None = None, *, tokens: dict[str, User] | None = None) -> None:
        self.tokens = tokens or {"hf_rw": User("alice", write=True), "hf_ro": User("bob")}
        self.requests: list[Logged] = []
        self.ignore_ranges = False
        """Answer every GET with the whole file, as some proxies do."""
        self._faults: list[Fault] = []
        self._repos: dict[tuple[str, str], _Repo] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="loopback-hub-")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(uvicorn.Config(self, log_level="critical", lifespan="off"))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._app = Starlette(routes=list(self._routes()), exception_handlers={_Refused: _refusal})
        for kind in ("datasets", "models"):
            for folder in sorted((root / kind).glob("*/*")) if root else ():
                self.add_folder(kind, f"{folder.parent.name}/{folder.name}", folder)

    @property
    def port(self) -> int:
        """The port, on 127.0.0.1 for the Hub and as `localhost` for its CDN."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def stop(self) -> None:
        """Go away: from now on connections are refused."""
        self._server.should_exit = self._server.force_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._socket.close()

    def environment(self, home: Path, *, token: str | None = None) -> dict[str, str]:
        """Variables with which a client process uses this Hub and nothing of the user's own set-up."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": token or "",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    # What a test does to the Hub

    def fail(self, match: str, **what: Any) -> None:
        """Put a `Fault` in the way of requests whose path matches the regular expression `match`."""
        self._faults.append(Fault(match, **what))

    def heal(self) -> None:
        """Take all faults away."""
        self._faults.clear()

    def add_folder(self, kind: str, name: str, folder: Path) -> str:
        """Commit all files of `folder`, which are served from where they lie; returns the commit."""
        files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
        return self.add_files(kind, name, files)

    def add_files(
        self, kind: str, name: str, files: Mapping[str, Path | bytes], title: str = "Add files"
    ) -> str:
        """Commit `files` (path in the repository to content) on top of `main`; returns the commit."""
        repo = self._repos.setdefault((kind, name), _Repo(kind, name))
        tree = dict(repo.at("main").tree) if "main" in repo.branches else {}
        for path, content in files.items():
            stored = content if isinstance(content, Path) else self._keep(content)
            tree[path] = _blob(stored, lfs=_is_lfs(path, stored.stat().st_size))
        return repo.commit(tree, title)

    def restrict(
        self,
        kind: str,
        name: str,
        *,
        private: bool = False,
        gated: bool = False,
        allowed: set[str] | None = None,
    ) -> None:
        """Make a repository private (invisible) or gated (not readable) but for the users `allowed`."""
        repo = self._repos[kind, name]
        repo.private, repo.gated, repo.allowed = private, gated, allowed or set()

    def rewrite_history(self, kind: str, name: str) -> None:
        """Forget every commit but the newest, which gets another id: as after a force push."""
        repo = self._repos[kind, name]
        tree = repo.at("main").tree
        repo.commits.clear()
        repo.commit(tree, "History rewritten")

    # ASGI: the log and the faults, then the routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.requests.append(Logged(scope["method"], scope["path"], scope["query_string"].decode(), headers))
        if self.ignore_ranges:
            scope["headers"] = [(key, value) for key, value in scope["headers"] if key != b"range"]
        fault = next((f for f in self._faults if _hits(f, scope)), None)
        if fault is None:
            await self._app(scope, receive, send)
            return
        fault.times -= 1
        await asyncio.sleep(fault.delay)
        if fault.status:
            refused = JSONResponse({"error": "injected"}, fault.status, headers=fault.headers)
            await refused(scope, receive, send)
        else:
            await self._app(scope, receive, send if fault.truncate is None else _cut(send, fault.truncate))

    def _routes(self) -> Iterator[Route]:
        yield Route("/api/whoami-v2", self._whoami)
        yield Route("/api/validate-yaml", _accept_yaml, methods=["POST"])
        yield Route("/api/repos/create", self._create, methods=["POST"])
        yield Route("/api/repos/delete", self._delete, methods=["DELETE"])
        yield Route("/api/{kind}/{owner}/{name}", self._info)
        api = "/api/{kind}/{owner}/{name}"
        yield Route(api + "/revision/{revision:path}", self._info)
        yield Route(api + "/tree/{revision}", self._tree)
        yield Route(api + "/tree/{revision}/{path:path}", self._tree)
        yield Route(api + "/paths-info/{revision:path}", self._paths_info, methods=["POST"])
        yield Route(api + "/refs", self._refs)
        yield Route(api + "/commits/{revision:path}", self._commits)
        yield Route(api + "/tag/{revision:path}", self._tag, methods=["POST"])
        yield Route(api + "/branch/{branch:path}", self._branch, methods=["POST"])
        yield Route(api + "/preupload/{revision:path}", self._preupload, methods=["POST"])
        yield Route(api + "/commit/{revision:path}", self._commit, methods=["POST"])
        for prefix, kind in (("/datasets", "datasets"), ("", "models")):
            lfs = prefix + "/{owner}/{name}.git/info/lfs/objects/batch"
            yield Route(lfs, self._for(kind, self._lfs_batch), methods=["POST"])
            yield Route(
                prefix + "/{owner}/{name}/resolve/{revision}/{path:path}", self._for(kind, self._resolve)
            )
        yield Route("/_lfs/verify", self._lfs_verify, methods=["POST"])
        yield Route("/_lfs/{oid}", self._lfs_put, methods=["PUT"])
        yield Route("/_cdn/{sha256}", self._cdn)

    def _for(self, kind: str, endpoint: Callable[..., Any]) -> Callable[[Request], Any]:
        async def handler(request: Request) -> Response:
            request.path_params["kind"] = kind
            response: Response = await endpoint(request)
            return response

        return handler

    # Who may do what

    def _user(self, request: Request) -> User | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return None
        if token not in self.tokens:
            raise _Refused(401, "", "Invalid credentials in Authorization header")
        return self.tokens[token]

    def _writer(self, request: Request) -> User:
        user = self._user(request)
        if user is None:
            raise _Refused(401, "", "Invalid username or password.")
        if not user.write:
            raise _Refused(403, "", "Forbidden: you must use a write token to upload to a repository.")
        return user

    def _repo(self, request: Request, *, content: bool = False, write: bool = False) -> _Repo:
        user = self._user(request)
        params = request.path_params
        repo = self._repos.get((params["kind"], f"{params['owner']}/{params['name']}"))
        member = user is not None and repo is not None and user.name in repo.allowed
        if repo is None or (repo.private and not member):
            message = "Repository not found" if user else "Invalid username or password."
            raise _Refused(404 if user else 401, "RepoNotFound", message)
        if content and repo.gated and not member:
            message = f"Access to {repo.kind[:-1]} {repo.name} is restricted."
            raise _Refused(403 if user else 401, "GatedRepo", message)
        if write:
            self._writer(request)
        return repo

    # Reading

    async def _whoami(self, request: Request) -> Response:
        user = self._user(request)
        if user is None:
            raise _Refused(401, "", "Invalid username or password.")
        role = "write" if user.write else "read"
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        return JSONResponse(
            {"type": "user", "name": user.name, "fullname": user.name, "orgs": [], "auth": auth}
        )

    async def _info(self, request: Request) -> Response:
        repo = self._repo(request)
        commit = repo.at(request.path_params.get("revision", "main"))
        sizes = request.query_params.get("blobs", "").lower() in ("1", "true")
        siblings = [
            {"rfilename": path} | ({"size": blob.size, "blobId": blob.oid} if sizes else {})
            for path, blob in sorted(commit.tree.items())
        ]
        return JSONResponse(
            {
                "_id": hashlib.sha256(repo.name.encode()).hexdigest()[:24],
                "id": repo.name,
                "author": repo.name.split("/")[0],
                "sha": commit.sha,
                "lastModified": LONG_AGO,
                "createdAt": LONG_AGO,
                "private": repo.private,
                "gated": "auto" if repo.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": siblings,
            }
        )

    async def _tree(self, request: Request) -> Response:
        commit = self._repo(request, content=True).at(request.path_params["revision"])
        folder = request.path_params.get("path", "").strip("/")
        recursive = request.query_params.get("recursive", "").lower() in ("1", "true")
        entries = _entries(commit.tree, folder, recursive=recursive)
        if folder and not entries:
            raise _Refused(404, "EntryNotFound", f"{folder} does not exist", **{"X-Repo-Commit": commit.sha})
        start = int(request.query_params.get("cursor", "0"))
        stop = start + int(request.query_params.get("limit", TREE_PAGE))
        headers = {"X-Repo-Commit": commit.sha}
        if stop < len(entries):
            headers["Link"] = f'<{request.url.include_query_params(cursor=stop)}>; rel="next"'
        page = entries[start:stop]
        if request.query_params.get("expand", "").lower() in ("1", "true"):
            repo = self._repo(request)
            page = [entry | {"lastCommit": _last_commit(repo, commit, entry["path"])} for entry in page]
        return JSONResponse(page, headers=headers)

    async def _paths_info(self, request: Request) -> Response:
        commit = self._repo(request, content=True).at(request.path_params["revision"])
        body = await request.body()
        form = not request.headers.get("content-type", "").startswith("application/json")
        paths = parse_qs(body.decode()).get("paths", []) if form else json.loads(body)["paths"]
        known = {entry["path"]: entry for entry in _entries(commit.tree, "", recursive=True)}
        return JSONResponse([known[path] for path in paths if path in known])

    async def _refs(self, request: Request) -> Response:
        repo = self._repo(request)
        refs = {
            group: [{"name": n, "ref": f"refs/{where}/{n}", "targetCommit": sha} for n, sha in names.items()]
            for group, where, names in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags))
        }
        return JSONResponse(refs | {"converts": []})

    async def _commits(self, request: Request) -> Response:
        repo = self._repo(request)
        commit: _Commit | None = repo.at(request.path_params["revision"])
        log = []
        while commit:
            author = [{"user": "alice"}]
            log.append(
                {"id": commit.sha, "title": commit.title, "message": "", "authors": author, "date": LONG_AGO}
            )
            commit = repo.commits.get(commit.parent or "")
        return JSONResponse(log, headers={"X-Total-Count": str(len(log))})

    async def _resolve(self, request: Request) -> Response:
        commit = self._repo(request, content=True).at(request.path_params["revision"])
        path = request.path_params["path"]
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        blob = commit.tree.get(path)
        if blob is None:
            raise _Refused(404, "EntryNotFound", "Entry not found", **headers)
        if not blob.lfs:
            return FileResponse(
                blob.path, headers=headers | {"ETag": f'"{blob.oid}"'}, media_type="text/plain"
            )
        # Another host, as the real CDN is: a client follows a HEAD on the same host and misses X-Repo-Commit.
        headers |= {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.sha256}"'}
        return RedirectResponse(f"http://localhost:{self.port}/_cdn/{blob.sha256}", 302, headers=headers)

    async def _cdn(self, request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        for repo in self._repos.values():
            for commit in repo.commits.values():
                for blob in commit.tree.values():
                    if blob.sha256 == sha256:
                        return FileResponse(
                            blob.path, headers={"ETag": f'"{sha256}"'}, media_type="application/octet-stream"
                        )
        raise _Refused(404, "", "No such object")

    # Writing

    async def _create(self, request: Request) -> Response:
        user = self._writer(request)
        asked = await request.json()
        kind = asked.get("type", "model") + "s"
        name = f"{asked.get('organization') or user.name}/{asked['name']}"
        url = f"{self.url}/{'' if kind == 'models' else kind + '/'}{name}"
        if (kind, name) in self._repos:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        repo = _Repo(
            kind,
            name,
            private=asked.get("visibility") == "private" or bool(asked.get("private")),
            allowed={user.name},
        )
        repo.commit({}, "initial commit")
        self._repos[kind, name] = repo
        return JSONResponse({"url": url, "name": name, "id": name})

    async def _delete(self, request: Request) -> Response:
        user = self._writer(request)
        asked = await request.json()
        name = f"{asked.get('organization') or user.name}/{asked['name']}"
        if self._repos.pop((asked.get("type", "model") + "s", name), None) is None:
            raise _Refused(404, "RepoNotFound", "Repository not found")
        return Response()

    async def _tag(self, request: Request) -> Response:
        repo = self._repo(request, write=True)
        tag = (await request.json())["tag"]
        if tag in repo.tags:
            raise _Refused(409, "", "Tag already exists")
        repo.tags[tag] = repo.at(request.path_params["revision"]).sha
        return Response(status_code=201)

    async def _branch(self, request: Request) -> Response:
        repo = self._repo(request, write=True)
        branch = request.path_params["branch"]
        start = json.loads(await request.body() or b"{}").get("startingPoint") or "main"
        if branch in repo.branches:
            raise _Refused(409, "", "Reference already exists")
        repo.branches[branch] = repo.at(start).sha
        return Response(status_code=201)

    async def _preupload(self, request: Request) -> Response:
        commit = self._repo(request, write=True).at(request.path_params["revision"])
        files = []
        for file in (await request.json())["files"]:
            mode = "lfs" if _is_lfs(file["path"], file["size"]) else "regular"
            known = commit.tree.get(file["path"])
            oid = {"oid": known.oid} if known else {}
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False} | oid)
        return JSONResponse({"commitOid": commit.sha, "files": files})

    async def _lfs_batch(self, request: Request) -> Response:
        self._repo(request, write=True)
        objects = []
        for wanted in (await request.json())["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self._object(wanted["oid"]).exists():
                base = f"{self.url}/_lfs"
                answer["actions"] = {
                    "upload": {"href": f"{base}/{wanted['oid']}", "header": {}},
                    "verify": {"href": f"{base}/verify", "header": {}},
                }
            objects.append(answer)
        return JSONResponse(
            {"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json"
        )

    async def _lfs_put(self, request: Request) -> Response:
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self._folder.name, delete=False) as file:
            async for chunk in request.stream():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != request.path_params["oid"]:
            raise _Refused(400, "", "The content does not have this sha256")
        Path(file.name).rename(self._object(digest.hexdigest()))
        return Response()

    async def _lfs_verify(self, request: Request) -> Response:
        asked = await request.json()
        stored = self._object(asked["oid"])
        if not stored.exists() or stored.stat().st_size != asked["size"]:
            raise _Refused(404, "", "No such object")
        return Response()

    async def _commit(self, request: Request) -> Response:
        repo = self._repo(request, write=True)
        branch = request.path_params["revision"]
        tree = dict(repo.at(branch).tree)
        title = ""
        for line in (await request.body()).splitlines():
            operation = json.loads(line)
            match operation["key"], operation["value"]:
                case "header", value:
                    title = value["summary"]
                    if value.get("parentCommit", repo.at(branch).sha) != repo.at(branch).sha:
                        raise _Refused(412, "", "A commit has happened since. Please refresh and try again.")
                case "file", value:
                    tree[value["path"]] = _blob(self._keep(base64.b64decode(value["content"])), lfs=False)
                case "lfsFile", value:
                    tree[value["path"]] = _blob(self._object(value["oid"]), lfs=True)
                case "deletedFile", value:
                    del tree[value["path"]]
                case "deletedFolder", value:
                    folder = value["path"].rstrip("/") + "/"
                    tree = {path: blob for path, blob in tree.items() if not path.startswith(folder)}
        sha = repo.commit(tree, title, branch)
        prefix = "" if repo.kind == "models" else f"{repo.kind}/"
        return JSONResponse(
            {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{prefix}{repo.name}/commit/{sha}"}
        )

    def _object(self, sha256: str) -> Path:
        return Path(self._folder.name) / sha256

    def _keep(self, content: bytes) -> Path:
        stored = self._object(hashlib.sha256(content).hexdigest())
        stored.write_bytes(content)
        return stored


@contextmanager
def dead_endpoint() -> Iterator[str]:
    """An address on loopback at which nothing answers, and nothing else will while the block lasts."""
    with socket.socket() as bound:  # bound, never listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def _is_lfs(path: str, size: int) -> bool:
    return path.endswith(LFS_SUFFIXES) or size > LFS_BYTES


def _blob(stored: Path, *, lfs: bool) -> _Blob:
    """What git knows of a file: the hash of its content, or of the LFS pointer that stands for it."""
    with stored.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = stored.stat().st_size
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    content = pointer if lfs else stored.read_bytes()
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return _Blob(stored, size, sha256, oid, lfs)


def _entries(tree: dict[str, _Blob], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    folders: set[str] = set()
    files = []
    for path, blob in sorted(tree.items()):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        depth = len(parts) if recursive else min(2, len(parts))
        folders |= {prefix + "/".join(parts[:level]) for level in range(1, depth)}
        if recursive or len(parts) == 1:
            entry = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
            if blob.lfs:
                entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
            files.append(entry)
    return [
        {"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)
    ] + files


def _hits(fault: Fault, scope: Scope) -> bool:
    method_fits = fault.method in (None, scope["method"])
    return fault.times > 0 and method_fits and re.search(fault.match, scope["path"]) is not None


def _cut(send: Send, after: int) -> Send:
    """Pass `after` bytes of a body on, then break the connection although more was promised."""
    left = after

    async def cutting(message: Message) -> None:
        nonlocal left
        body = message.get("body", b"")
        if message["type"] == "http.response.body" and len(body) > left:
            await send({**message, "body": body[:left], "more_body": True})
            raise ConnectionResetError("injected")
        left -= len(body)
        await send(message)

    return cutting


async def _accept_yaml(request: Request) -> Response:
    await request.body()
    return JSONResponse({"errors": [], "warnings": []})


async def _refusal(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, _Refused)
    return JSONResponse({"error": str(refused)}, refused.status, headers=refused.headers)
