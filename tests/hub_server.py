"""A stand-in for the Hugging Face hub: dataset repositories in memory, by its addresses.

It speaks what huggingface_hub calls for create_repo, repo_info, list_repo_refs, list_repo_tree,
create_commit (preupload, LFS batch, upload, commit), create_tag and downloads. Writing needs the
token; a private repository is not there for others.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_stand_in_token"
DOWNLOADS = "/{repo_id}/resolve/{revision}/{filename}"
LARGE = (".tar", ".parquet", ".npy", ".safetensors", ".png", ".jpg")
"""Files that go by LFS, as .gitattributes of the hub has them."""


@dataclass
class Repo:
    """A repository: commits as files by name, oldest first, and what names them."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        lines = sorted(f"{name} {hashlib.sha1(data).hexdigest()}" for name, data in files.items())
        self.head = hashlib.sha1("\n".join([self.head, *lines]).encode()).hexdigest()
        self.commits[self.head] = files
        return self.head

    def revision(self, name: str) -> str | None:
        name = {"main": self.head, **self.tags}.get(name, name)
        return name if name in self.commits else None


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files by sha256."""
    asked: list[str] = field(default_factory=list)
    """METHOD path of every request."""
    fails: dict[str, int] = field(default_factory=dict)
    """Status to answer, once, by the beginning of METHOD path."""
    url: str = ""

    def count(self, beginning: str) -> int:
        return sum(request.startswith(beginning) for request in self.asked)


class Answer(Exception):
    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.content = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.hub.asked.append(request)
        try:
            for beginning, status in list(self.hub.fails.items()):
                if request.startswith(beginning):
                    del self.hub.fails[beginning]
                    raise Answer(status, {"error": "as the test wants"})
            self._route(path.strip("/").split("/"))
            raise Answer(404, {"error": request})
        except Answer as answer:
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body)
            data = body if isinstance(body, bytes) else body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    def _json(self) -> Any:
        return json.loads(self.content)

    def _is_owner(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _route(self, parts: list[str]) -> None:
        match parts:
            case ["api", "repos", "create"]:
                self._need_token()
                self._create(self._json())
            case ["api", "validate-yaml"]:
                raise Answer(200, {"errors": [], "warnings": []})
            case ["api", "datasets", owner, name, *rest]:
                self._api(f"{owner}/{name}", rest)
            case ["datasets", owner, name, "resolve", revision, *path]:
                self._resolve(self._repo(f"{owner}/{name}"), revision, "/".join(path))
            case ["datasets", owner, name, "info", "lfs", "objects", "batch"]:
                self._need_token()
                self._repo(f"{owner}/{name.removesuffix('.git')}")
                self._batch(self._json()["objects"])
            case ["objects", oid]:
                assert hashlib.sha256(self.content).hexdigest() == oid
                self.hub.objects[oid] = self.content
                raise Answer(200, {})

    def _need_token(self) -> None:
        if not self._is_owner():
            raise Answer(401, {"error": "Invalid credentials"}, X_Error_Code="")

    def _repo(self, name: str) -> Repo:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not self._is_owner()):
            raise Answer(404, {"error": "Not found"}, X_Error_Code="RepoNotFound")
        return repo

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.hub.repos:
            raise Answer(409, {"error": "exists", "url": f"{self.hub.url}/datasets/{name}"})
        private = wanted.get("visibility") == "private" or wanted.get("private") is True
        self.hub.repos[name] = Repo(private)
        self.hub.repos[name].commit({".gitattributes": b"*.tar filter=lfs\n"})
        raise Answer(200, {"url": f"{self.hub.url}/datasets/{name}"})

    def _api(self, name: str, rest: list[str]) -> None:
        repo = self._repo(name)
        match rest:
            case [] | ["revision", _]:
                commit = repo.revision(rest[1] if rest else "main")
                if commit is None:
                    raise Answer(404, {"error": "none"}, X_Error_Code="RevisionNotFound")
                siblings = [{"rfilename": file} for file in sorted(repo.commits[commit])]
                body = {"id": name, "sha": commit, "private": repo.private, "siblings": siblings}
                raise Answer(200, body | {"tags": [], "downloads": 0, "likes": 0, "_id": "0"})
            case ["refs"]:
                tags = [
                    {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": commit}
                    for tag, commit in repo.tags.items()
                ]
                main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
                raise Answer(200, {"branches": [main], "converts": [], "tags": tags})
            case ["tree", revision, *folder]:
                self._tree(repo, revision, "/".join(folder))
        self._need_token()
        match rest:
            case ["preupload", _]:
                files = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for file in self._json()["files"]
                ]
                raise Answer(200, {"files": files})
            case ["commit", "main"]:
                self._commit(name, repo)
            case ["tag", revision]:
                tag, commit = self._json()["tag"], repo.revision(revision)
                if tag in repo.tags or commit is None:
                    raise Answer(409, {"error": "tag exists"})
                repo.tags[tag] = commit
                raise Answer(200, {})

    def _tree(self, repo: Repo, revision: str, folder: str) -> None:
        commit = repo.revision(revision)
        if commit is None:
            raise Answer(404, {"error": "none"}, X_Error_Code="RevisionNotFound")
        entries = []
        for file, data in sorted(repo.commits[commit].items()):
            if not file.startswith(folder):
                continue
            entry: dict[str, Any] = {"type": "file", "path": file, "size": len(data)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if file.endswith(LARGE):
                oid = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
            entries.append(entry)
        raise Answer(200, entries)

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        found = []
        for one in objects:
            entry = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/objects/{one['oid']}"}}
            found.append(entry)
        raise Answer(200, {"transfer": "basic", "objects": found})

    def _commit(self, name: str, repo: Repo) -> None:
        lines = [json.loads(line) for line in self.content.splitlines()]
        files = dict(repo.commits[repo.head])
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header" if value.get("parentCommit", repo.head) != repo.head:
                    raise Answer(412, {"error": "A commit has happened since"})
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        commit = repo.commit(files)
        url = f"{self.hub.url}/datasets/{name}/commit/{commit}"
        raise Answer(200, {"success": True, "commitOid": commit, "commitUrl": url})

    def _resolve(self, repo: Repo, revision: str, path: str) -> None:
        commit = repo.revision(revision)
        data = repo.commits.get(commit or "", {}).get(path)
        if data is None:
            raise Answer(404, {"error": "none"}, X_Error_Code="EntryNotFound")
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        raise Answer(200, data, X_Repo_Commit=str(commit), ETag=etag)


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub of its own at `url`, until the end."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Of", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
