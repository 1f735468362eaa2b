#!/usr/bin/env python3
"""An application that lives through a migration: it asks feature flags where to read and where to write.

Each customer visits, again and again: the visit is written to the side that takes the writes, and the customer's visits
are read from the side that the customer's reads go to. midflight answers the flags; the SDK is OpenFeature's, with its
provider for the remote evaluation protocol. One line of JSON a round says what happened.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from sides import Refused, open_side

NOT_KNOWN = ""  # what a flag's error is answered with: no side's name


class Shop:
    def __init__(self, client, sides: dict, patience: float):
        self.client, self.sides, self.patience = client, sides, patience
        self.home: str | None = None  # the side that took the last write
        self.written: Counter = Counter()  # acknowledged visits of each customer

    def _context(self, customer: int) -> EvaluationContext:
        return EvaluationContext(targeting_key=f"customer:{customer}")

    def write_side(self, customer: int) -> str:
        """Who may write is never guessed: an error is no answer, and neither is a default."""
        details = self.client.get_string_details("midflight.writes", NOT_KNOWN, self._context(customer))
        if details.error_code or details.value not in self.sides:
            raise Refused(f"midflight.writes: {details.error_message}")
        return details.value

    def read_side(self, customer: int) -> str:
        """Without an answer a read goes where the last write went, so that who wrote reads what it wrote."""
        details = self.client.get_boolean_details("midflight.reads", False, self._context(customer))
        if not details.error_code:
            return "target" if details.value else "source"
        if self.home is None:
            raise Refused(f"midflight.reads: {details.error_message}")
        return self.home

    def _again_and_again(self, what):
        until = time.monotonic() + self.patience
        while True:
            try:
                return what()
            except Refused as error:
                if time.monotonic() > until:
                    raise SystemExit(f"given up after {self.patience:.0f} s: {error}") from error
                time.sleep(0.05)

    def write(self, customer: int) -> str:
        def attempt():
            side = self.write_side(customer)
            self.sides[side].visit(customer, self.written[customer] + 1)
            return side
        self.home = self._again_and_again(attempt)
        self.written[customer] += 1
        return self.home

    def read(self, customer: int) -> tuple[str, int]:
        def attempt():
            side = self.read_side(customer)
            return side, self.sides[side].visits(customer)
        return self._again_and_again(attempt)

    def round(self, customers: int) -> dict:
        read_from, stale = {"source": [], "target": []}, Counter()
        writes = Counter()
        for customer in range(1, customers + 1):
            writes[self.write(customer)] += 1
            side, visits = self.read(customer)
            read_from[side].append(customer)
            stale[side] += visits < self.written[customer]
        return {"writes": writes, "reads": {side: len(of) for side, of in read_from.items()},
                "from_target": read_from["target"], "stale": stale, "written": sum(self.written.values())}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flags", required=True, metavar="URL", help="where midflight listens (api.listen)")
    parser.add_argument("--source", required=True, metavar="URL")
    parser.add_argument("--target", required=True, metavar="URL")
    parser.add_argument("--customers", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=0, help="0: until it is ended")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between rounds")
    parser.add_argument("--patience", type=float, default=60, help="seconds that one read or write is tried for")
    return parser.parse_args()


def main() -> None:
    a = arguments()
    token = os.environ.get("MIDFLIGHT_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    api.set_provider(OFREPProvider(a.flags, headers_factory=lambda: headers, timeout=5.0))
    sides = {"source": open_side(a.source, 5.0), "target": open_side(a.target, 5.0)}
    shop = Shop(api.get_client(), sides, a.patience)
    done = 0
    while a.rounds == 0 or done < a.rounds:
        done += 1
        print(json.dumps({"round": done, **shop.round(a.customers)}), flush=True)
        time.sleep(a.pause)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
