"""The file that a configuration came from, or goes to: what it said when it was read, and who has written it since."""

from __future__ import annotations

from pathlib import Path

from hybrid_nb.changing import differences
from hybrid_nb.core import config as configuration
from hybrid_nb.core import saving
from hybrid_nb.core.errors import ConfigConflictError, ConfigError


class File:
    """`path` is None when the configuration came from no file; then it goes to the user's."""

    def __init__(self, path: Path | None, settings: configuration.Settings) -> None:
        self.settings = settings  # what the file says, as far as is known
        self._path = path
        self._stamp = saving.stamp(path) if path is not None else saving.ABSENT

    @property
    def target(self) -> Path:
        """Where save() writes without being told."""
        return self._path or configuration.user_file()

    def save(self, settings: configuration.Settings, path: Path | None, overwrite: bool) -> Path:
        """Write them, in turn with others. Raises ConfigConflictError; a path that is named by the caller, and is not
        the file that was read, is written as it is told.
        """
        place = path or self.target
        own = place.absolute() == self.target.absolute()
        with saving.alone(place):
            if own and not overwrite:
                self._check(place)
            saving.save(settings, place)
            if own:
                self._path, self._stamp, self.settings = place, saving.stamp(place), settings
        return place

    def _check(self, place: Path) -> None:
        if saving.stamp(place) == self._stamp:
            return
        changes = self._theirs(place)
        if changes == []:
            return  # comments and spaces only; they are kept
        told = "; ".join(changes[:5]) if changes else "it cannot be read now"
        raise ConfigConflictError(
            f"{place} was changed by somebody else since it was read ({told}): take theirs with router.reload(), or "
            "write yours with router.save(overwrite=True)",
            str(place),
            changes or ["it cannot be read now"],
        )

    def _theirs(self, place: Path) -> list[str] | None:
        """What the others changed; None where the file cannot be read any more."""
        try:
            theirs = configuration.validate(configuration.read_file(place), str(place))
        except ConfigError:
            return None
        return differences(self.settings, theirs)
