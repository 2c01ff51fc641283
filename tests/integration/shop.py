"""A shop's service, written against the README alone: `python shop.py STORE_URL PICTURE COUNT`.

Hands in COUNT runs, follows each to its end, and prints one JSON line a run.
"""

import json
import sys
from pathlib import Path

from prolight import Client


def main(url: str, picture: str, count: int) -> None:
    with Client(url) as client:
        run_ids = [
            client.submit(Path(picture), "warm key from the left", idempotency_key=f"sku-{number}")
            for number in range(count)
        ]
        for run_id in run_ids:
            seqs = [event.seq for event in client.events(run_id)]
            run = client.wait(run_id, timeout=60).run
            pictures = [len(client.download(artifact)) for artifact in client.artifacts(run_id)]
            print(json.dumps({"run_id": run_id, "state": run.state, "seqs": seqs, "pictures": pictures}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
