"""Properties that are computed once."""

from __future__ import annotations

from harness.once import cached_property


class Counted:
    """Counts how often its property is computed."""

    times = 0

    @cached_property
    def value(self) -> int:
        """What it is."""
        self.times += 1
        return self.times


def test_a_value_is_computed_once_for_each_object() -> None:
    one, two = Counted(), Counted()
    assert [one.value, one.value, two.value] == [1, 1, 1]
    one.times = 5
    del one.__dict__["value"]
    assert one.value == 6


def test_the_class_shows_its_documentation() -> None:
    assert Counted.value.__doc__ == "What it is."
