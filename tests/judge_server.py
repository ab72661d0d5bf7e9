"""A chat completions server on the loopback whose verdicts follow a rule; run by itself, it logs what it was asked."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def verdict(question: str) -> str:
    """A or B: the longer answer; of one answer its length, at most 5."""
    texts = [part.split("\n\n")[0] for part in re.split(r"\[Answer(?: [AB])?\]\n", question)[1:]]
    if len(texts) == 1:
        return str(min(5, len(texts[0])))
    return "AB"[len(texts[1]) > len(texts[0])]


class JudgeServer(ThreadingHTTPServer):
    """Answers by `verdict`, or by what `answer` gives."""

    daemon_threads = True

    def __init__(self, port: int = 0, *, log: str = "", delay: float = 0.0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Any = verdict
        self.status = 200
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                question = body["messages"][-1]["content"]
                with lock:
                    outer.asked.append(body)
                    if log:
                        with open(log, "a") as file:
                            file.write(json.dumps(question) + "\n")
                time.sleep(delay)
                content = json.dumps({"choices": [{"message": {"content": outer.answer(question)}}]}).encode()
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", port), Handler)
        self.base = f"http://127.0.0.1:{self.server_port}/v1"


if __name__ == "__main__":
    JudgeServer(int(sys.argv[1]), log=sys.argv[2], delay=0.05).serve_forever()
