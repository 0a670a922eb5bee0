"""The written documents that training does not see, as a file that `benchmarks.fields` reads.

    python -m training.held_out > held_out.jsonl
    python -m benchmarks.fields held_out.jsonl --model smollm2:ADAPTER

A line for each question, asked as it is written.
"""

from __future__ import annotations

import json

from training.documents.variations import as_asked, held_out
from training.documents.written import all_written


def main() -> None:
    documents = [one for one in all_written() if held_out(one)]
    for number, document in enumerate(documents, 1):
        for part, ask in enumerate(document.asks, 1):
            schema, value = as_asked(document, ask)
            line = {
                "id": f"held-{number:03}-{part}", "text": document.text, "schema": schema, "value": value,
                "style": document.kind, "language": document.language, "words": len(document.text.split()),
            }  # fmt: skip
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
