"""A property that is computed once.

`functools.cached_property` takes a lock for every value in Python 3.11. Tables have hundreds of
thousands of such values, so here it is without the lock, as it is from Python 3.12 on.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING

__all__ = ["cached_property"]

if not TYPE_CHECKING and sys.version_info < (3, 12):

    class cached_property:  # noqa: N801  # the name it has in the standard library
        """Computes a property at its first use and keeps the value in the object's `__dict__`."""

        def __init__(self, compute):
            self._compute = compute
            self.__doc__ = compute.__doc__
            self.__module__ = compute.__module__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self._compute(instance)
            return value
