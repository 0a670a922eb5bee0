"""Calls of tools from random logits, read by vLLM's own tool parsers: every call has to be found, with its arguments.

    python -m benchmarks.tool_parsers --count 500

Runs where vLLM is installed. ``tool_choice`` is "auto" in every third output, where random logits answer in words, else
"required": two tools, called several times. What each parser reads is compared with what structdiff says that the text
calls, arguments as JSON values.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import structdiff
from benchmarks.grammars import outputs
from benchmarks.tags import SCHEMAS
from structdiff.core.restrictions import RestrictionWarning
from structdiff.frontends.call_forms import FORMS
from structdiff.frontends.tools import ToolForm, ToolUse
from structdiff.tokens.vocabulary import Vocabulary

PARSERS = {"hermes": "hermes", "llama": "llama3_json", "qwen": "qwen3_coder", "gemma": "functiongemma",
           "gemma4": "gemma4"}  # fmt: skip
"""vLLM's parser of each form of calls."""
MARKS = ("<tool_call>", "</tool_call>", "<start_function_call>", "<end_function_call>", "<|python_tag|>", "<think>",
         "</think>", "<function=", "</function>", "<parameter=", "</parameter>", "<|tool_call>",
         "<tool_call|>", '<|"|>')  # fmt: skip


class Reader:
    """One of vLLM's parsers, as its server asks it for a finished text."""

    def __init__(self, name: str, tokenizer: Any) -> None:
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.tool_parsers import ToolParserManager

        tools = [{"type": "function", "function": {"name": n, "parameters": schema}} for n, schema in SCHEMAS.items()]
        said = {"messages": [{"role": "user", "content": "x"}], "model": "m", "tools": tools, "tool_choice": "auto"}
        self.request = ChatCompletionRequest(**said)
        self.kind, self.tokenizer = ToolParserManager.get_tool_parser(name), tokenizer

    def calls(self, text: str) -> list[tuple[str, Any]] | None:
        """(name, arguments) of each call that the parser finds; None where it finds none."""
        found = self.kind(self.tokenizer, self.request.tools).extract_tool_calls(text, self.request)
        if not found.tools_called:
            return None
        return [(call.function.name, json.loads(call.function.arguments)) for call in found.tool_calls]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forms", nargs="*", choices=list(PARSERS), default=list(PARSERS))
    args = parser.parse_args()
    warnings.simplefilter("ignore", RestrictionWarning)
    from transformers import PreTrainedTokenizerFast

    folder = str(Path(structdiff.__file__).parent / "models" / "embedded")
    vocabulary, tokenizer = Vocabulary.of(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens([mark for mark in MARKS if mark not in tokenizer.get_vocab()])
    logging.getLogger("vllm").setLevel(logging.CRITICAL)
    failed = 0
    for form in args.forms:
        assert form in FORMS
        tools = tuple(ToolForm(name, schema) for name, schema in SCHEMAS.items())
        use, required = ToolUse(tools, form=form), ToolUse(tools, form=form, answer=None)
        reader, wrong, called, free = Reader(PARSERS[form], tokenizer), 0, 0, args.count // 3
        texts = itertools.chain(
            outputs(structdiff.compile(use, vocabulary), free, args.seed),
            outputs(structdiff.compile(required, vocabulary), args.count - free, args.seed + free),
        )
        for text in texts:
            wanted = use.calls(text)
            told = None if wanted is None else [(call.name, json.loads(call.arguments)) for call in wanted]
            found = reader.calls(text)
            called += len(told or ())
            if found != told:
                wrong += 1
                if wrong <= 3:
                    print(f"{form}: {text!r}\n    structdiff: {told}\n    vLLM:       {found}")
        failed += wrong
        print(f"{form}: {args.count} outputs, {called} calls, {wrong} read otherwise by vLLM's {PARSERS[form]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
