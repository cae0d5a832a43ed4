"""How a data set's own names for groups map to domains; each reader has its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.errors import DataError, did_you_mean


class Aliases(Mapping[str, tuple[str, ...]]):
    """A data set's names (codes, bias types, targets), each with the places that it means.

    A place is a ``domain`` or a ``domain/group``. Several places are written with ``+`` between
    them: ``race/black people + gender/women``. An empty text means a name that concerns no group.

    Example::

        TYPES = Aliases("crows-pairs", {"race-color": "race", "gender": "gender"})
        TYPES.domain("race-color")  # race
    """

    def __init__(self, dataset: str, table: Mapping[str, str]) -> None:
        self.dataset = dataset
        self._places = {
            alias: tuple(place.strip() for place in places.split("+") if place.strip())
            for alias, places in table.items()
        }

    def __getitem__(self, alias: str) -> tuple[str, ...]:
        return self._places[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def places(self, names: str) -> tuple[str, ...]:
        """Return the places behind one name, or behind several with commas between them.

        Raises:
            DataError: a name is not in the table; says which are near.
        """
        places: dict[str, None] = {}
        for part in names.split(","):
            name = part.strip()
            if name not in self._places:
                raise DataError(
                    f"{self.dataset}: unknown domain alias '{name}'"
                    f"{did_you_mean(name, self._places)}"
                )
            places.update(dict.fromkeys(self._places[name]))
        return tuple(places)

    def domains(self, names: str) -> tuple[str, ...]:
        """Return the domains behind a name; empty where it concerns no group.

        Raises:
            DataError: a name is not in the table.
        """
        return tuple(dict.fromkeys(place.partition("/")[0] for place in self.places(names)))

    def domain(self, name: str, where: str = "") -> str:
        """Return the one domain behind a name.

        Args:
            name: a name of the data set.
            where: its file and line, for the error.

        Raises:
            DataError: the name is not in the table, or does not mean exactly one domain.
        """
        try:
            domains = self.domains(name)
        except DataError as error:
            raise DataError(f"{where}: {error}" if where else str(error)) from None
        if len(domains) != 1:
            known = ", ".join(domains) or "none"
            raise DataError(f"{self.dataset}: alias '{name}' has not one domain but: {known}")
        return domains[0]

    def all_domains(self) -> frozenset[str]:
        """Return every domain that a name of the table means."""
        return frozenset(
            place.partition("/")[0] for places in self._places.values() for place in places
        )
