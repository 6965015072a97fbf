"""A server on loopback that speaks the part of the Hub's interface that pushing and pulling use.

Repositories are dictionaries: a commit is a mapping of paths to contents. Files in parquet and PNG
are large files, as the Hub's own `.gitattributes` has it, the others are regular ones.
"""

import base64
import hashlib
import json
import re
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

WRITER, READER = "hf_writes_everywhere", "hf_only_reads"
"""Tokens: one that may write, and one that may only read."""


@dataclass
class Repository:
    """Commits from oldest to newest, and what branches and tags stand for."""

    private: bool
    commits: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)
    main: str = ""
    tags: dict = field(default_factory=dict)

    def commit(self, files, message):
        self.messages.append(message)
        seed = json.dumps([self.main, len(self.commits), message]).encode()
        self.main = hashlib.sha1(seed).hexdigest()
        self.commits[self.main] = files
        return self.main

    def at(self, revision):
        """The commit that a revision stands for, or None."""
        commit = self.main if revision == "main" else self.tags.get(revision, revision)
        return commit if commit in self.commits else None

    @property
    def files(self):
        """What `main` holds."""
        return self.commits[self.main]


class Server(ThreadingHTTPServer):
    """See `serving`.

    Attributes:
        repositories: By `owner/name`.
        large: Large files that were sent, by sha256.
        log: The requests that were carried out: what was asked, and of what.
        faults: What is to go wrong next, each `(what, how)`: the request is answered with the
            status `how`; or the connection is closed `before` or `after` it is carried out; or it
            is never answered (`hang`).
        hanging: Set while a request hangs.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.RLock()
        self.repositories, self.large = {}, {}
        self.log, self.faults = [], deque()
        self.hanging, self.closing = threading.Event(), threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients that are gone are part of the game."""

    def asked(self, what):
        """How often something was carried out."""
        return sum(kind == what for kind, _ in self.log)

    def repository(self, name, files=None, private=False):
        """Make a repository as a person would have."""
        made = self.repositories[name] = Repository(private)
        made.commit(
            {".gitattributes": b"*.parquet filter=lfs\n", **(files or {})}, "initial commit"
        )
        return made


REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
ROUTES = [
    ("create", "POST", r"/api/repos/create"),
    ("yaml", "POST", r"/api/validate-yaml"),
    ("refs", "GET", rf"/api/datasets/{REPO}/refs"),
    ("info", "GET", rf"/api/datasets/{REPO}(/revision/(?P<revision>[^/]+))?"),
    ("preupload", "POST", rf"/api/datasets/{REPO}/preupload/(?P<revision>[^/]+)"),
    ("batch", "POST", rf"/datasets/{REPO}\.git/info/lfs/objects/batch"),
    ("upload", "PUT", r"/large/(?P<oid>[0-9a-f]{64})"),
    ("commit", "POST", rf"/api/datasets/{REPO}/commit/(?P<revision>[^/]+)"),
    ("tag", "POST", rf"/api/datasets/{REPO}/tag/(?P<revision>[^/]+)"),
    ("resolve", "(GET|HEAD)", rf"/datasets/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
]
WRITES = {"create", "preupload", "batch", "commit", "tag"}


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status, message, code=""):
        self.status, self.message, self.code = status, message, code


def is_large(path):
    return path.endswith((".parquet", ".png"))


def blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_of(content):
    sha256 = hashlib.sha256(content).hexdigest()
    return {"sha256": sha256, "size": len(content), "pointerSize": 130}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self):
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        found = (
            (what, match)
            for what, method, pattern in ROUTES
            if re.fullmatch(method, self.command) and (match := re.fullmatch(pattern, path))
        )
        what, match = next(found, (None, None))
        if what is None:
            self.send(404, b"{}")
            return
        with self.server.lock:
            faults = self.server.faults
            fault = faults.popleft()[1] if faults and faults[0][0] == what else None
        if fault == "hang":
            self.server.hanging.set()
            self.server.closing.wait()
        if isinstance(fault, int):
            self.send(fault, b"{}")
        if fault in ("before", "hang") or isinstance(fault, int):
            self.close_connection = True
            return
        try:
            with self.server.lock:
                self.authorize(what, match.groupdict())
                reply = getattr(self, f"do_{what}")(body, **match.groupdict())
                named = match.groupdict()
                self.server.log.append((what, named.get("path") or named.get("oid")))
        except RefusedError as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            self.send(refused.status, json.dumps({"error": refused.message}).encode(), headers)
            return
        if fault == "after":
            self.close_connection = True
            return
        if what != "resolve":
            self.send(200, json.dumps(reply).encode())

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - the names that http.server calls

    def send(self, status, data, headers=()):
        self.send_response(status)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in {**sent, **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def authorize(self, what, named):
        token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if token not in ("", WRITER, READER):
            raise RefusedError(401, "Invalid credentials in Authorization header")
        repository = self.server.repositories.get(named.get("repo"))
        if "repo" in named and (repository is None or (repository.private and not token)):
            status = 404 if token else 401  # as the Hub, which does not tell strangers what exists
            raise RefusedError(status, "Repository not found", "RepoNotFound")
        if what in WRITES and token != WRITER:
            raise RefusedError(403 if token else 401, "You may not write here")

    def commit_of(self, repo, revision):
        repository = self.server.repositories[repo]
        commit = repository.at(revision or "main")
        if commit is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repository, commit

    def do_create(self, body):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            raise RefusedError(409, "You already created this dataset repo")
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repository(name, private=bool(private))
        return {"url": f"{self.server.url}/datasets/{name}"}

    def do_yaml(self, body):
        content = json.loads(body)["content"]
        head = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        if head is None or not isinstance(yaml.safe_load(head[1]), dict):
            raise RefusedError(400, "no metadata")
        return {"warnings": [], "errors": []}

    def do_refs(self, body, repo):
        repository = self.server.repositories[repo]
        tags = [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
            for name, commit in repository.tags.items()
        ]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.main}
        return {"branches": [main], "converts": [], "tags": tags}

    def do_info(self, body, repo, revision):
        repository, commit = self.commit_of(repo, revision)
        files = [
            {"rfilename": path, "blobId": blob_id(content)}
            | ({"lfs": lfs_of(content)} if is_large(path) else {})
            for path, content in sorted(repository.commits[commit].items())
        ]
        return {"id": repo, "sha": commit, "private": repository.private, "siblings": files}

    def do_preupload(self, body, repo, revision):
        repository, commit = self.commit_of(repo, revision)
        known = repository.commits[commit]
        ignored = known.get(".gitignore", b"").decode().split()
        files = []
        for path in (file["path"] for file in json.loads(body)["files"]):
            content = known.get(path)
            if content is None:
                oid = None
            else:
                oid = hashlib.sha256(content).hexdigest() if is_large(path) else blob_id(content)
            mode = "lfs" if is_large(path) else "regular"
            leave = any(fnmatch(path, pattern) for pattern in ignored)
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": leave, "oid": oid})
        return {"files": files}

    def do_batch(self, body, repo):
        objects = json.loads(body)["objects"]
        for each in objects:
            if each["oid"] not in self.server.large:
                each["actions"] = {"upload": {"href": f"{self.server.url}/large/{each['oid']}"}}
        return {"transfer": "basic", "objects": objects}

    def do_upload(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            raise RefusedError(400, "the content has another hash")
        self.server.large[oid] = body
        return {}

    def do_commit(self, body, repo, revision):
        repository, commit = self.commit_of(repo, revision)
        head, *operations = map(json.loads, body.splitlines())
        files = dict(repository.commits[commit])
        if head["value"].get("parentCommit", commit) != commit:
            raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
        for operation in operations:
            value = operation["value"]
            match operation["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.server.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        made = repository.commit(files, head["value"]["summary"])
        return {"commitUrl": f"{self.server.url}/datasets/{repo}/commit/{made}", "commitOid": made}

    def do_tag(self, body, repo, revision):
        repository, commit = self.commit_of(repo, revision)
        tag = json.loads(body)["tag"]
        if tag in repository.tags:
            raise RefusedError(409, "Tag reference exists already")
        repository.tags[tag] = commit
        return {}

    def do_resolve(self, body, repo, revision, path):
        repository, commit = self.commit_of(repo, revision)
        content = repository.commits[commit].get(path)
        if content is None:
            raise RefusedError(404, "Entry not found", "EntryNotFound")
        etag = hashlib.sha256(content).hexdigest() if is_large(path) else blob_id(content)
        self.send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})


@contextmanager
def serving():
    """A running server."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
