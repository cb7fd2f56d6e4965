"""`python -m fuzz`: random cases of every kind until the time is over; each failure is kept as a folder."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from fuzz.kinds import KINDS, Kind, kind_named
from fuzz.worker import Worker

EVERY = 15.0  # seconds between lines of progress


class Campaign:
    """The cases of one seed.

    Attributes:
        failures: folders of those that failed.
    """

    def __init__(self, kinds: list[Kind], seed: int, scratch: Path) -> None:
        self._kinds, self._seed, self._scratch = kinds, seed, scratch
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._done: Counter[str] = Counter()
        self._words: Counter[tuple[str, str]] = Counter()
        self._worker = Worker()
        self.failures: list[Path] = []

    def one(self, kind: Kind, number: int) -> None:
        """Do a case; say so if it fails."""
        folder, started = self._scratch / f"{kind.name}-{self._seed}-{number}", time.monotonic()
        outcome = self._worker.run(kind, self._seed, number, folder)
        self._spent[kind.name] += time.monotonic() - started
        self._done[kind.name] += 1
        self._words[kind.name, outcome.word] += 1
        if outcome.failure is not None:
            self.failures.append(folder)
            print(f"FAILED {kind.name} --seed {self._seed} --case {number}: {outcome.failure.splitlines()[-1]}")
            print(f"       kept in {folder}", flush=True)

    def until(self, seconds: float) -> None:
        """Cases of the kind that has had least of its share, in turn."""
        end = time.monotonic() + seconds
        said = time.monotonic()
        while (now := time.monotonic()) < end:
            kind = min(self._kinds, key=lambda kind: self._spent[kind.name] / kind.share)
            self.one(kind, self._done[kind.name])
            if now - said > EVERY:
                print(f"{self.counts()}; {(end - now) / 60:.1f} minutes left", flush=True)
                said = now

    def counts(self) -> str:
        """Cases of each kind with their rate, and how many of them were refused by name."""
        parts = []
        for kind in self._kinds:
            refused = self._words[kind.name, "refused"]
            rate = self._done[kind.name] / max(self._spent[kind.name], 1e-3)
            parts.append(f"{kind.name} {self._done[kind.name]} ({rate:.2g}/s{f', {refused} refused' * bool(refused)})")
        return ", ".join(parts)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()


def main() -> int:
    """Run, print; 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, help="drawn, and printed, unless given")
    parser.add_argument("--kind", action="append", choices=[kind.name for kind in KINDS], help="all, unless given")
    parser.add_argument("--case", type=int, help="this case of the seed and kind alone")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where failures are kept (build/fuzz)")
    given = parser.parse_args()
    if given.case is not None and (given.seed is None or len(given.kind or ()) != 1):
        parser.error("--case needs --seed and one --kind")
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    kinds = [kind_named(name) for name in given.kind] if given.kind else list(KINDS)
    campaign = Campaign(kinds, seed, given.keep.resolve())
    try:
        if given.case is not None:
            campaign.one(kinds[0], given.case)
        else:
            campaign.until(60 * given.minutes)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    finally:
        campaign.close()
    print(f"{campaign.counts()}; {len(campaign.failures)} failed", flush=True)
    return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
