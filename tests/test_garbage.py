import gc

from harness.garbage import seldom_collected, uncollected


def test_the_collector_is_off_within_a_block_and_on_after_it() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_new_garbage_is_still_collected_in_a_command() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0]
        collected = gc.get_stats()[0]["collections"]
        kept = [[] for _ in range(2 * gc.get_threshold()[0])]  # type: ignore[var-annotated]
        assert gc.get_stats()[0]["collections"] > collected
        del kept
    assert gc.get_threshold() == before
