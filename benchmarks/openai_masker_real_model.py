"""The `openai` masker against a real model behind an OpenAI-compatible server on loopback.

SmolLM2-135M-Instruct (the plugin ``smollm2-135m``) answers ``/v1/chat/completions`` greedily. Like
many small servers this one rejects response formats. With ``--structured`` it keeps the answers to
the schema by writing the JSON frame itself. A model of this size does not choose well; the purpose
is to check the masker's accounting on answers that nobody scripted. Prints what was accepted,
rejected and malformed.

    python benchmarks/openai_masker_real_model.py [--structured] [--passages 6] [--asks 3]
    python benchmarks/openai_masker_real_model.py --structured --serve 8000

The second form only serves, so that a run can be masked by this model: set ``base_url`` to
``http://127.0.0.1:8000/v1`` and OPENAI_API_KEY to any word. The masks are no better than the model.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness.boundary import load_model, mask_passages, read_passages
from harness.data.places import DataStore
from harness.lm.handle import LanguageModel
from harness.plugins import load_registry
from harness.types import LoadRequest, MaskRequest, PassageRequest

END_OF_TURN = "<|im_end|>"


class Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        structured = "response_format" in body
        if structured and not self.server.structured:
            self._send(400, {"error": {"message": "response_format is not supported"}})
            return
        with self.server.lock:  # one model, one text at a time
            began = time.perf_counter()
            answer, usage = complete(
                self.server.model, body["messages"], body["max_tokens"], structured
            )
            self.server.seconds += time.perf_counter() - began
            self.server.answers.append(answer)
        self._send(
            200,
            {
                "id": f"local-{len(self.server.answers)}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": self.server.model.name,
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": answer},
                    }
                ],
                "usage": usage,
            },
        )

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, model: LanguageModel, structured: bool, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.structured = structured
        self.model = model
        self.lock = threading.Lock()
        self.answers: list[str] = []
        self.seconds = 0.0


def complete(
    model: LanguageModel, messages: list[dict[str, str]], max_tokens: int, structured: bool
) -> tuple[str, dict[str, int]]:
    """Greedy answer to a dialogue in the model's chat format (ChatML), and the tokens used."""
    turns = [f"<|im_start|>{m['role']}\n{m['content']}{END_OF_TURN}\n" for m in messages]
    prompt = "".join(turns) + "<|im_start|>assistant\n"
    if structured:
        answer = fill_frame(model, prompt)
    else:
        (text,) = model.generate([prompt], max_new_tokens=max_tokens)
        answer = text.split(END_OF_TURN)[0].strip()
    tokens_in, tokens_out = len(model.encode(prompt)), len(model.encode(answer))
    return answer, {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }


def fill_frame(model: LanguageModel, prompt: str) -> str:
    """An answer of the schema with one word: the frame is given, the model fills the strings."""
    answer = '{"words": [{"word": "'
    for limit, after in ((10, '", "occurrences": [], "reason": "'), (24, '"}]}')):
        (text,) = model.generate([prompt + answer], max_new_tokens=limit)
        said = text.split(END_OF_TURN)[0].split('"')[0].strip()
        answer += json.dumps(said, ensure_ascii=False)[1:-1] + after
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=6)
    parser.add_argument("--asks", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=96, help="longest answer")
    parser.add_argument(
        "--structured", action="store_true", help="the server keeps answers to the schema"
    )
    parser.add_argument("--serve", type=int, metavar="PORT", help="serve until Ctrl-C, on loopback")
    args = parser.parse_args()

    os.environ.setdefault("OPENAI_API_KEY", "none")
    registry = load_registry(strict=True)
    # `create` answers with a plugin of any family: hence the ignores below
    data = DataStore(domains=registry.domains)
    model = load_model(
        registry.get("model", "smollm2-135m"),
        registry.create("model", "smollm2-135m", {}),  # type: ignore[arg-type]
        LoadRequest(cache_dir=data.cache_dir / "models"),
    )
    server = ModelServer(model, args.structured, args.serve or 0)
    if args.serve is not None:
        print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
        return
    passages = read_passages(
        registry.get("corpus", "embedded"),
        registry.create("corpus", "embedded", {}),  # type: ignore[arg-type]
        PassageRequest(
            domain="gender", label="hateful", split="train", limit=args.passages, data=data
        ),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "model": model.name,
            "base_url": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "asks": args.asks,
            "max_answer_tokens": args.tokens,
            "max_concurrency": 2,
            "timeout": 300.0,
            "max_failed_share": 1.0,
        }
        request = MaskRequest(
            passages=passages,
            domain="gender",
            data=DataStore(cache_dir=Path(folder), domains=registry.domains),
            progress=lambda done, total, what: print(f"{what}: {done} of {total}", flush=True),
        )
        masker = registry.create("masker", "openai", config)
        entry = registry.get("masker", "openai")
        estimate = masker.estimate(request)  # type: ignore[attr-defined]
        masked = mask_passages(entry, masker, request)  # type: ignore[arg-type]
        calls = len(server.answers)
        again = mask_passages(entry, masker, request)  # type: ignore[arg-type]
        (report,) = (Path(folder) / "openai-masks" / "reports").glob("*.json")
        found = json.loads(report.read_text(encoding="utf-8"))
    server.shutdown()

    for answer in masked:
        words = [answer.passage.text[span.start : span.end] for span in answer.spans]
        print(f"{answer.passage.id}: {words or answer.note}")
    print(f"estimate: {estimate.calls} texts, {estimate.tokens_in} tokens in")
    print(
        f"{calls} answers in {server.seconds:.0f} s ({found['tokens_in']} tokens in, "
        f"{found['tokens_out']} out)"
    )
    print(f"passages with words accepted: {sum(bool(a.spans) for a in masked)} of {len(masked)}")
    print(f"passages with no word named: {sum(a.note == 'no word named' for a in masked)}")
    print(f"answers rejected and asked again or given up: {found['events']}")
    print(f"passages unmasked: {[entry['why'] for entry in found['unmasked']]}")
    print(f"repeated from the cache alone: {again == masked and len(server.answers) == calls}")
    for text in server.answers[:3]:
        print(f"raw answer: {text[:200]!r}")


if __name__ == "__main__":
    main()
