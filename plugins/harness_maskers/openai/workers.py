"""Asking about many texts in several threads, with an orderly and a quick way to stop."""

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
    """Ask about texts, and yield each key with its answer as it arrives.

    An error in one dialogue stops all: no further call is made, the answers of calls in progress
    are kept, and the error is raised. If the caller stops iterating, or presses Ctrl-C, calls in
    progress are abandoned; the cache never holds a part of an answer.

    Args:
        client: the client; closed when the last dialogue has ended.
        texts: the texts by key.
        domain: the domain of all texts, as the prompt describes it.
        keep: stores an answer in the thread that received it, and returns what to yield.
        concurrency: the most calls in progress at once.
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
