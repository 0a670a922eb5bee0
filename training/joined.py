"""Write an adapter, and the one that continues it, as one adapter of a given rank: the nearest to their sum.

    python -m training.joined OUT FOLDER --rank 32

For each matrix the sum of both is the nearest of that rank by least squares (Eckart and Young, "The approximation of
one matrix by another of lower rank", Psychometrika 1, 1936).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from structdiff.core.errors import GenerationError
from structdiff.models.adapter import ADAPTER, CONTINUED, files_of, read_files
from training.average import settings_of
from training.lora import save_adapter


def nearest(parts: list[tuple[torch.Tensor, torch.Tensor]], rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(a [rank, in], b [out, rank]) whose product b a is the nearest to the sum of the ``parts``' products.

    >>> a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0], [5.0]])
    >>> low = nearest([(a, b), (a, b)], 1)
    >>> torch.allclose(low[1] @ low[0], 2 * b @ a, atol=1e-5)
    True
    """
    left, small = torch.linalg.qr(torch.cat([b for _, b in parts], 1).double())
    right, other = torch.linalg.qr(torch.cat([a for a, _ in parts]).double().T)
    u, sizes, v = torch.linalg.svd(small @ other.T, full_matrices=False)
    root = sizes[:rank].sqrt()
    return (root[:, None] * (v[:rank] @ right.T)).float(), (left @ u[:, :rank] * root).float()


def join(folder: Path, out: Path, rank: int) -> float:
    """Write the one adapter into ``out``; returns which part of the sum's squares it holds. Raises `ValueError` and
    `GenerationError` where an adapter is missing, damaged or of other base weights."""
    base = settings_of(folder / files_of(ADAPTER)[1])["base_sha256"]
    (first, own, scale), (later, further, its) = (read_files(folder, base, name) for name in (ADAPTER, CONTINUED))
    if own.keys() != further.keys():
        raise ValueError(f"the adapters in {folder} have different matrices")
    made: dict[str, torch.Tensor] = {}
    kept = whole = 0.0
    for name in sorted({key.rpartition(".")[0] for key in own}):
        parts = [(own[f"{name}.a"], own[f"{name}.b"]), (further[f"{name}.a"], further[f"{name}.b"] * (its / scale))]
        a, b = nearest(parts, rank)
        made |= {f"{name}.a": a, f"{name}.b": b}
        kept += float((b @ a).square().sum())
        whole += float(torch.stack([b @ a for a, b in parts]).sum(0).square().sum())
    said = {key: value for key, value in first.items() if key != "sha256"}
    counts = {key: first[key] + later[key] for key in ("step", "tokens", "seconds")}
    save_adapter(made, out, said | {"rank": rank, "alpha": scale * rank} | counts)
    return kept / whole


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("folder", type=Path)
    p.add_argument("--rank", type=int, default=32)
    args = p.parse_args()
    try:
        print(f"{join(args.folder, args.out, args.rank):.4f} of the squares")
    except (ValueError, GenerationError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
