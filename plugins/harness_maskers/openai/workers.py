"""Asking about many texts at once, and ending that in good order or in haste."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Mapping

from harness_maskers.openai.answers import Answer
from harness_maskers.openai.client import Client

Keep = Callable[[str, Answer], Answer]


def ask_all(
    client: Client, texts: Mapping[str, str], domain: str, keep: Keep, concurrency: int
) -> Generator[tuple[str, Answer], None, None]:
    """Ask about texts by key, and yield each answer as it comes.

    An error in one dialogue ends all: no further call is made, calls under way are awaited and
    their answers kept, and the error is raised. When the caller stops listening or Ctrl-C is
    pressed nothing is awaited: the threads are daemons, and an answer is written whole or not.

    Args:
        client: who asks; closed when the last dialogue has ended.
        texts: what to ask about.
        domain: of all the texts.
        keep: stores an answer in the thread that got it, and returns what is to be yielded.
        concurrency: most calls under way at once.
    """
    todo: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for pair in texts.items():
        todo.put(pair)
    done: queue.SimpleQueue[tuple[str, Answer] | Exception] = queue.SimpleQueue()
    lock = threading.Lock()
    working = min(concurrency, len(texts))

    def work() -> None:
        nonlocal working
        try:
            while not client.stop.is_set():
                try:
                    key, text = todo.get_nowait()
                except queue.Empty:
                    break
                done.put((key, keep(key, client.ask(text, domain))))
        except Exception as error:  # handed to the thread that waits for answers
            client.stop.set()
            done.put(error)
        finally:
            with lock:
                working -= 1
                if working == 0:
                    client.close()

    threads = [
        threading.Thread(target=work, name=f"openai-masker-{i}", daemon=True)
        for i in range(working)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in texts:
            got = done.get()
            if isinstance(got, Exception):
                for thread in threads:
                    thread.join()
                raise got
            yield got
    finally:
        client.stop.set()
