"""lm-evaluation-harness's own command, with a clock around its evaluation; run by its Python.

    PYTHON lm_eval_timed.py OUT.json run --model hf …

Calls the function behind the console command ``lm_eval`` with the arguments that follow OUT.json.
Nothing is changed but what is written down: when `lm_eval.evaluator.evaluate` begins and ends
(the model and the task's data are loaded before), the same of its requests to the model, memory,
and each request's answer. Imports nothing of the harness: it runs in another environment.
"""

import json
import sys
import time
from importlib.metadata import version


def memory() -> dict[str, float]:
    """Resident memory of this process in MiB: now, and its peak (Linux)."""
    found = {}
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                found[name] = int(value.split()[0]) / 1024
    return {"now": found["VmRSS"], "peak": found["VmHWM"]}


def main() -> None:
    import torch
    from lm_eval import evaluator
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.models.huggingface import HFLM

    out = sys.argv.pop(1)
    facts: dict[str, object] = {
        "packages": {name: version(name) for name in ("lm-eval", "torch", "transformers")},
        "threads": torch.get_num_threads(),
    }
    evaluate, loglikelihood = evaluator.evaluate, HFLM.loglikelihood

    def timed_evaluate(*args: object, **kwargs: object) -> object:
        cuda = torch.cuda.is_available()
        facts["loaded"] = memory()
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # a new peak: what loading took is not what evaluating takes
        if cuda:
            torch.ones(8, 8, device="cuda").mm(torch.ones(8, 8, device="cuda"))
            torch.cuda.synchronize()  # cuBLAS starts here, not in what is timed
            torch.cuda.reset_peak_memory_stats()
        started, used = time.perf_counter(), time.process_time()
        results = evaluate(*args, **kwargs)
        facts["evaluate"] = (time.perf_counter() - started, time.process_time() - used)
        facts["evaluated"] = memory()
        if cuda:
            facts["cuda_peak"] = torch.cuda.max_memory_allocated() / 2**20
        (samples,) = results["samples"].values()
        facts["sums"] = {
            sample["doc_id"]: [float(answer[0][0]) for answer in sample["resps"]]
            for sample in samples
        }
        (facts["metrics"],) = results["results"].values()
        return results

    def timed_loglikelihood(*args: object, **kwargs: object) -> object:
        started, used = time.perf_counter(), time.process_time()
        answers = loglikelihood(*args, **kwargs)
        facts["requests"] = (time.perf_counter() - started, time.process_time() - used)
        return answers

    evaluator.evaluate, HFLM.loglikelihood = timed_evaluate, timed_loglikelihood
    cli_evaluate()
    with open(out, "w", encoding="utf-8") as file:
        json.dump(facts, file, default=str)


if __name__ == "__main__":
    main()
