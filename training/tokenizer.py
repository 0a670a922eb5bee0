"""The embedded model's tokenizer: byte-level BPE, digits single, blanks never glued to words, structure merged.

python -m training.tokenizer OUT_FOLDER [--size 1024]
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.data import make_example

SPECIAL = ["<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|turn>' + message['role'] + '\n' + message['content'] "
    "+ '<turn|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|turn>model\n' }}{% endif %}"
)


def train_tokenizer(
    folder: Path, size: int = 1024, examples: int = 20_000, seed: int = 7, split: str = "train"
) -> None:
    """Write tokenizer.json and tokenizer_config.json to ``folder``, of texts of a split."""
    tokenizer = Tokenizer(models.BPE())
    pieces = Regex(r"\p{L}+|\d|[{}\[\]\",: \n?]+|.")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pieces, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    r = random.Random(seed)
    texts = (
        t
        for _ in range(examples)
        for e in [make_example(r, split)]
        for t in (f"<|turn>user\n{e['prompt']}<turn|>\n<|turn>model\n", e["answer"])
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False, max_token_length=12,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
        "chat_template": TEMPLATE, "clean_up_tokenization_spaces": False, "model_max_length": 2048,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=1024)
    args = parser.parse_args()
    train_tokenizer(args.folder, args.size)
