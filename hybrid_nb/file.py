"""The file that a configuration came from, or goes to: what it said when it was read, and who has written it since."""

from __future__ import annotations

import shutil
from pathlib import Path

from hybrid_nb.changing import differences
from hybrid_nb.core import config as configuration
from hybrid_nb.core import saving
from hybrid_nb.core.errors import ConfigConflictError, ConfigError
from hybrid_nb.mending import Broken


class File:
    """`path` is None when the configuration came from no file; then it goes to the user's. `broken`: it has mistakes,
    and is not written over by the way.
    """

    def __init__(self, path: Path | None, settings: configuration.Settings, broken: Broken | None = None) -> None:
        self.settings = settings  # what the file says, as far as is known
        self.broken = broken
        self.path = path
        self._stamp = saving.stamp(path) if path is not None else saving.ABSENT

    @property
    def target(self) -> Path:
        """Where save() writes without being told."""
        return self.path or configuration.user_file()

    def save(self, settings: configuration.Settings, path: Path | None, overwrite: bool) -> Path:
        """Write them, in turn with others. Raises ConfigConflictError; a path that is named by the caller, and is not
        the file that was read, is written as it is told.
        """
        place = path or self.target
        own = place.absolute() == self.target.absolute()
        with saving.alone(place):
            if own and not overwrite:
                self._check(place)
            if own and self.broken is not None:
                self._put_by(place)
            saving.save(settings, place)
            if own:
                self.path, self._stamp, self.settings = place, saving.stamp(place), settings
                self.broken = None
        return place

    def write(self, text: str, overwrite: bool) -> None:
        """Put this text, which is known to be valid, in place of what the file says. Raises ConfigConflictError."""
        with saving.alone(self.target):
            if not overwrite and saving.stamp(self.target) != self._stamp:
                raise self._conflict(self.target, self._theirs(self.target))
            saving.write(text, self.target)

    @staticmethod
    def _put_by(place: Path) -> None:
        """Keep a file with mistakes under another name. What cannot be read as TOML cannot be written into either."""
        if not place.exists():
            return
        others = (place.with_name(f"{place.name}.broken{n or ''}") for n in range(1000))
        try:
            shutil.copy2(place, next(other for other in others if not other.exists()))
            configuration.read_file(place)
        except ConfigError:
            place.unlink()
        except OSError as error:
            raise ConfigError(f"{place}: a copy of it cannot be kept: {error.strerror}") from None

    def _check(self, place: Path) -> None:
        if self.broken is not None and place.exists():
            raise ConfigError(
                f"{self.broken}: the file has mistakes and is left as it is; mend it and call router.reload(), or "
                "write what is left with router.save(overwrite=True), which keeps the old one beside it"
            )
        if saving.stamp(place) == self._stamp:
            return
        changes = self._theirs(place)
        if changes == []:
            return  # comments and spaces only; they are kept
        raise self._conflict(place, changes)

    @staticmethod
    def _conflict(place: Path, changes: list[str] | None) -> ConfigConflictError:
        told = "; ".join(changes[:5]) if changes else "it cannot be read now"
        return ConfigConflictError(
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
