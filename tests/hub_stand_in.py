"""As much of the Hugging Face hub as a push of a dataset needs, on this machine; run by test_export_command.py.

Says its port on stdout. What is committed lies in the folder that it is given, file by file.
"""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SHA = "a" * 40
REPO = "/api/datasets/me/x"


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        path, body = self.path.partition("?")[0], self.body()
        if path == "/api/validate-yaml":
            self.send(200, {"errors": [], "warnings": []})
        elif path.startswith("/lfs/"):
            (self.folder / path.rpartition("/")[2]).write_bytes(body)
            self.send(200, {})
        elif self.headers.get("Authorization") != "Bearer hf_made_up":
            self.send(401, {"error": "Invalid credentials"})
        elif path == "/api/repos/create":
            (self.folder / "created.json").write_bytes(body)
            self.send(200, {"url": f"{self.base}/datasets/me/x", "id": "me/x"})
        elif path.endswith("/preupload/main"):
            paths = [each["path"] for each in json.loads(body)["files"]]
            modes = {True: "lfs", False: "regular"}
            self.send(
                200,
                {
                    "files": [
                        {"path": each, "uploadMode": modes[each.endswith(".parquet")], "shouldIgnore": False}
                        for each in paths
                    ]
                },
            )
        elif path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            actions = [{**each, "actions": {"upload": {"href": f"{self.base}/lfs/{each['oid']}"}}} for each in objects]
            self.send(200, {"transfer": "basic", "objects": actions})
        elif path == f"{REPO}/commit/main":
            for line in body.splitlines():
                self.keep(json.loads(line))
            self.send(
                200,
                {
                    "success": True,
                    "commitOid": SHA,
                    "commitUrl": f"{self.base}/datasets/me/x/commit/{SHA}",
                    "hookOutput": "",
                },
            )
        elif path == f"{REPO}/tree/{SHA}":
            self.send(200, [{"type": "file", "path": ".gitattributes", "size": 1, "oid": SHA}])
        elif (
            path in (REPO, f"{REPO}/revision/{SHA}", f"{REPO}/revision/main")
            and (self.folder / "created.json").exists()
        ):
            self.send(200, {"id": "me/x", "sha": SHA, "siblings": [], "private": True})
        elif path == REPO:
            self.send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        else:
            self.send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})

    do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 - http.server calls them so

    @property
    def base(self) -> str:
        return f"http://{self.headers['Host']}"

    @property
    def folder(self) -> Path:
        return Path(sys.argv[1])

    def keep(self, line: dict[str, Any]) -> None:
        value = line["value"]
        if line["key"] in {"file", "lfsFile"}:
            target = self.folder / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            sent = self.folder / value.get("oid", "")
            target.write_bytes(sent.read_bytes() if "oid" in value else base64.b64decode(value["content"]))

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, code: int, value: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(server.server_port, flush=True)
    server.serve_forever()
