"""What a campaign of faults came to."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Points tried: those after which a checkpoint was loaded as it should be, those refused, and what went wrong."""

    loaded: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """All points."""
        return self.loaded + self.refused + len(self.lost)
