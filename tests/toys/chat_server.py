"""A server on loopback that speaks chat completions, and misbehaves on a schedule."""

import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def reply(body):
    """What it answers by default: the last turn, said back."""
    return f"You said: {body['messages'][-1]['content']}"


class Server(ThreadingHTTPServer):
    """See `serving`.

    Attributes:
        seen: How often each body came.
        answered: How often each was answered whole.
        open: Requests that a client waits for, now and at most.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behave, reply, seconds):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.reply, self.seconds = behave, reply, seconds
        self.lock = threading.Lock()
        self.seen, self.answered = Counter(), Counter()
        self.bodies = {}
        self.keys = set()
        self.open = self.most_open = 0
        self.kinds = Counter()
        self.usage = Counter()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        """Clients that are gone are part of the game."""

    def enter(self, key, body):
        with self.lock:
            self.seen[key] += 1
            self.bodies[key] = body
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            return self.seen[key]

    def leave(self):
        with self.lock:
            self.open -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        server = self.server
        server.keys.add(self.headers.get("authorization", ""))
        times = server.enter(key, body)
        time.sleep(server.seconds)
        kind = server.behave(body, times)
        with server.lock:
            server.kinds[kind] += 1
        getattr(self, f"do_{kind}")(body, key)

    def send(self, status, data, headers=(), length=None):
        self.server.leave()
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(length or len(data)),
            **dict(headers),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def completion(self, body, text=None):
        text = self.server.reply(body) if text is None else text
        prompt = sum(len(turn["content"].split()) for turn in body["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": len(text.split())}
        with self.server.lock:
            self.server.usage.update(usage)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        made = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        return json.dumps(made | {"choices": [choice], "usage": usage}).encode()

    def error(self, status, message, code=None, headers=()):
        data = {"error": {"message": message, "type": "error", "code": code}}
        self.send(status, json.dumps(data).encode(), headers)

    def do_fine(self, body, key):
        data = self.completion(body)
        with self.server.lock:
            self.server.answered[key] += 1
        self.send(200, data)

    def do_cut(self, body, key):
        answer = json.loads(self.completion(body))
        answer["choices"][0]["finish_reason"] = "length"
        self.send(200, json.dumps(answer).encode())

    def do_busy(self, body, key):
        self.error(429, "slow down", headers={"retry-after": "0.05"})

    def do_broken(self, body, key):
        self.error(500, "something broke")

    def do_bad(self, body, key):
        self.error(400, "this cannot be answered")

    def do_unauthorised(self, body, key):
        self.error(401, f"wrong key: {self.headers['authorization']}", "invalid_api_key")

    def do_unknown(self, body, key):
        self.error(404, f"the model {body['model']} does not exist", "model_not_found")

    def do_echoed(self, body, key):
        self.error(400, f"your key is {self.headers['authorization']}")

    def do_told(self, body, key):
        self.send(200, self.completion(body, f"I know {self.headers['authorization']}."))

    def do_spoken(self, body, key):
        answer = json.loads(self.completion(body))
        answer["choices"][0]["finish_reason"] = answer["model"] = self.headers["authorization"]
        self.send(200, json.dumps(answer).encode())

    def do_garbled(self, body, key):
        self.send(200, b"x" * 60 + self.headers["authorization"].encode())

    def do_dropped(self, body, key):
        self.server.leave()
        # a reset, not an orderly end
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def do_silent(self, body, key):
        self.server.leave()
        time.sleep(3)
        self.close_connection = True

    def do_dripping(self, body, key):
        data = self.completion(body)
        self.send(200, data[:1], length=len(data))
        for at in range(1, len(data)):  # a byte now and then: never silent for long
            time.sleep(0.05)
            try:
                self.wfile.write(data[at : at + 1])
                self.wfile.flush()
            except OSError:
                break
        self.close_connection = True

    def do_half(self, body, key):
        data = self.completion(body)
        self.send(200, data[: len(data) // 2], length=len(data))
        self.close_connection = True

    def do_malformed(self, body, key):
        self.send(200, self.completion(body)[:-20])

    def do_empty(self, body, key):
        self.send(200, self.completion(body, ""))

    def do_nothing(self, body, key):
        self.send(200, b"")


@contextmanager
def serving(behave=lambda body, times: "fine", reply=reply, seconds=0.0):
    """A running server.

    Args:
        behave: From a body and how often it came, to what is done: the name of a `do_` method.
        reply: From a body to the text of the answer.
        seconds: What every answer takes.
    """
    server = Server(behave, reply, seconds)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
