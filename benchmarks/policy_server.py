"""An OpenAI-compatible server over a small policy, for trying endpoints and judges where no vLLM runs.

    python benchmarks/policy_server.py --policy smollm2 --port 8000

It answers `POST /v1/chat/completions` (n, max_tokens, temperature, top_p, seed); requests that come together are
sampled together. A server for use is vLLM, SGLang, llama.cpp or Ollama.
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from guerdon.errors import TextError
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.text.messages import parse_messages

TOGETHER = 16
"""Requests that are sampled side by side, at most."""


def options_of(body: dict[str, Any]) -> tuple[int, Sampling, int]:
    """How a request wants its responses: how many, how drawn, and with which seed."""
    sampling = Sampling(body.get("max_tokens") or 128, body.get("temperature", 1.0), body.get("top_p", 1.0))
    return body.get("n") or 1, sampling, body.get("seed") or 0


def sample_forever(policy: Policy, waiting: queue.Queue[tuple[dict[str, Any], Future[list[str]]]]) -> None:
    """Answers what waits, requests that want the same together."""
    while True:
        batch = [waiting.get()]
        while len(batch) < TOGETHER and not waiting.empty():
            batch.append(waiting.get())
        groups: dict[Any, list[tuple[dict[str, Any], Future[list[str]]]]] = {}
        for body, future in batch:
            n, sampling, seed = options_of(body)
            groups.setdefault((n, sampling, seed if sampling.temperature else 0), []).append((body, future))
        for (n, sampling, seed), asked in groups.items():
            try:
                prompts = [parse_messages(body["messages"]) for body, _ in asked]
                for index, texts in policy.sample_texts(prompts, num_generations=n, sampling=sampling, seed=seed):
                    asked[index][1].set_result(texts)
            except Exception as error:  # the server lives on
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", default="smollm2")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--log", help="file that gets a line for every request: its last message")
    options = parser.parse_args()
    policy = Policy.load(options.policy)
    waiting: queue.Queue[tuple[dict[str, Any], Future[list[str]]]] = queue.Queue()
    threading.Thread(target=sample_forever, args=(policy, waiting), daemon=True).start()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            future: Future[list[str]] = Future()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if options.log:
                with open(options.log, "a", encoding="utf-8") as file:
                    file.write(json.dumps(body["messages"][-1]["content"]) + "\n")
            waiting.put((body, future))
            try:
                choices = [{"message": {"role": "assistant", "content": text}} for text in future.result()]
                status, content = 200, json.dumps({"choices": choices})
            except TextError as error:
                status, content = 400, json.dumps({"error": error.fault})
            except Exception as error:  # told to the client
                status, content = 500, json.dumps({"error": f"{type(error).__name__}: {error}"})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: Any) -> None:
            pass

    print(f"{options.policy} listens at http://127.0.0.1:{options.port}/v1", flush=True)
    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
