"""Constraints in diffusers' own pipelines of text: a scheduler round a scheduler."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import BlockRefinementScheduler, DiffusionGemmaPipeline, DiscreteDDIMScheduler, EntropyBoundScheduler
from diffusers.schedulers.scheduling_utils import SCHEDULER_CONFIG_NAME, SchedulerMixin
from transformers.models.diffusion_gemma import modeling_diffusion_gemma as network

from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import GenerationError
from structdiff.decode.policy import Policy
from structdiff.integrations.rows import LoopRow, check_budget, one_a_row, raised, read_rows, wrong_batch
from structdiff.models.protocol import DenoiserSpec, Noise
from structdiff.options import DEFAULT_MAX_TOKENS
from structdiff.results.result import Usage

SCHEDULERS = (EntropyBoundScheduler, BlockRefinementScheduler, DiscreteDDIMScheduler)


class UnfitVersions(GenerationError):
    """The installed diffusers and transformers do not run DiffusionGemma together."""


def unfit_versions() -> str | None:
    """What is wrong where `DiffusionGemmaPipeline` does not run on the installed transformers; None where it does."""
    takes = inspect.signature(network.DiffusionGemmaDecoderModel.create_diffusion_decoder_attention_mask).parameters
    if "past_key_values" in takes or "past_key_values=" not in inspect.getsource(DiffusionGemmaPipeline.__call__):
        return None
    return (
        f"DiffusionGemmaPipeline of diffusers {version('diffusers')} does not run on transformers "
        f"{version('transformers')}; install transformers==5.20.2 with diffusers==0.42.1"
    )


class ConstrainedScheduler(SchedulerMixin):  # type: ignore[misc]
    """A scheduler under which a pipeline writes outputs of a constraint, complete within the budget.

    ``scheduler`` is an EntropyBoundScheduler, DiscreteDDIMScheduler or BlockRefinementScheduler; it decides as before.
    ``constraints``: one `Constraint` for all rows, or a list with one a row (None: the row is free), compiled for the
    model's tokenizer and V. ``max_new_tokens`` is the budget, and what the pipeline must be given as ``gen_length``.
    ``end_id`` is the end token that the pipeline looks for (None: the first of the constraint's vocabulary).

    It can be used for one pipeline call after the other. What is saved is the scheduler inside, without constraints:
    a pipeline that is loaded again has that one. Raises `BudgetTooSmall`, and `GenerationError` for another scheduler.
    """

    config_name = SCHEDULER_CONFIG_NAME

    def __init__(
        self,
        scheduler: Any,
        constraints: Constraint | Sequence[Constraint | None] | None,
        *,
        max_new_tokens: int = DEFAULT_MAX_TOKENS,
        end_id: int | None = None,
        policy: Policy | None = None,
    ) -> None:
        if not isinstance(scheduler, SCHEDULERS):
            known = ", ".join(one.__name__ for one in SCHEDULERS)
            raise GenerationError(f"a {type(scheduler).__name__} cannot be constrained; {known} can")
        self.scheduler, self.max_new_tokens, self.policy = scheduler, max_new_tokens, policy
        self.constraints = one_a_row(constraints)
        vocabularies = [one.vocabulary for one in self.constraints if one is not None]
        if not vocabularies:
            raise ValueError("all rows are free; use the scheduler itself")
        self.vocabulary = vocabularies[0]
        for one in self.constraints:
            if one is not None:
                one.require(self.vocabulary)
        if end_id is not None and end_id not in self.vocabulary.end_ids:
            raise ValueError(f"end_id is {end_id}, no end token of the constraints ({list(self.vocabulary.end_ids)})")
        self.end_id = self.vocabulary.end_ids[0] if end_id is None else end_id
        check_budget(self.constraints, max_new_tokens)
        # pipelines look at these signatures and leave out what is not in them
        self.step = _like(scheduler.step, self._step)
        self.set_timesteps = _like(scheduler.set_timesteps, self._set_timesteps)
        self._forget()

    def __getattr__(self, name: str) -> Any:
        """All else is the scheduler's own: its timesteps, its number of steps, its corrector."""
        if name.startswith("__") or "scheduler" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.scheduler, name)

    @property
    def config(self) -> Any:
        return self.scheduler.config

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Save the scheduler inside."""
        self.scheduler.save_pretrained(save_directory, **options)

    @classmethod
    def from_pretrained(cls, folder: str | Path, subfolder: str | None = None, **options: Any) -> Any:
        """The scheduler that was inside; put a constraint round it again."""
        config = EntropyBoundScheduler.load_config(folder, subfolder=subfolder)  # reads the file of any scheduler
        found = next((one for one in SCHEDULERS if one.__name__ == config.get("_class_name")), None)
        if found is None:
            raise GenerationError(f"{folder} holds a {config.get('_class_name')}, which cannot be constrained")
        return found.from_config(config)

    def parse(self, sequences: Any, errors: Literal["raise", "return"] = "raise") -> list[Any]:
        """The `Result` of each row of a pipeline's output; each is walked through its constraint.

        ``errors="return"`` puts a `Failure` in the place of a row that has no value. Raises `GenerationError` where an
        output was cut off, `ValidationFailed` where a validator of the class rejects one.
        """
        ids = getattr(sequences, "sequences", sequences).tolist()
        if len(ids) != len(self._of):
            raise GenerationError(f"{len(ids)} sequences, but {len(self._of)} rows went through this scheduler")
        rows = [row and row.row for row in self._rows]
        usages = [Usage(0, 0, row.steps, row.session.canvases) if row else Usage(0, 0, 0, 0) for row in rows]
        return read_rows(self._of, self.vocabulary, ids, self.max_new_tokens, usages, errors)

    def _forget(self) -> None:
        self._of: list[Constraint | None] = []
        self._rows: list[_Uniform | _Masked | None] = []

    def _set_timesteps(self, num_inference_steps: int, *args: Any, **kwargs: Any) -> None:
        """A pipeline call begins."""
        unfit = unfit_versions()
        if unfit and not isinstance(self.scheduler, BlockRefinementScheduler):
            raise UnfitVersions(unfit)
        if unfit:  # LLaDA2Pipeline runs
            warnings.warn(unfit, stacklevel=3)
        self._forget()
        self.scheduler.set_timesteps(num_inference_steps, *args, **kwargs)

    @torch.no_grad()
    def _step(
        self,
        model_output: torch.Tensor,
        timestep: int | torch.Tensor,
        sample: torch.Tensor,
        *,
        return_dict: bool = True,
        **options: Any,
    ) -> Any:
        """One step of the scheduler inside, from logits float[B, L, V] whose argmax is what each row is to write."""
        number, prompt = int(timestep), options.get("prompt_mask")
        first = 0 if prompt is None else int(prompt.sum())  # the prompt's last tokens come first
        if not self._of:
            self._begin(model_output, options.get("mask_token_id"))
        if number == 0:
            for row in self._rows:
                if row is not None:
                    row.open(sample.shape[1] - first)
        logits = model_output.clone()
        for i, row in enumerate(self._rows):
            if row is not None:
                logits[i, first:] = row.shape(logits[i, first:], sample[i, first:])
        out = self.scheduler.step(logits, timestep, sample, return_dict=True, **options)
        last = number >= self.scheduler.num_inference_steps - 1
        for i, row in enumerate(self._rows):
            if row is not None:
                row.settle({name: value[i, first:] for name, value in out.items()}, last)
        return out if return_dict else tuple(out.values())

    def _begin(self, logits: torch.Tensor, mask: int | None) -> None:
        """The rows of a pipeline call."""
        rows, given = len(logits), len(self.constraints)
        if given not in (1, rows):
            raise wrong_batch(rows, given)
        self._of = self.constraints * rows if given == 1 else list(self.constraints)
        policy = self.policy
        if policy is None:
            config, steps = self.config, self.scheduler.num_inference_steps
            # schedulers without a schedule of temperatures feed the logits themselves to the model
            low, high = config.get("t_min", 1.0), config.get("t_max", 1.0)
            policy = Policy(feedback="mean", candidate="maximum", max_steps=steps, t_min=low, t_max=high)
        spec = DenoiserSpec(logits.shape[1], logits.shape[2], 1 << 62, Noise(mask))
        self._rows = []
        for one in self._of:
            if one is None:
                self._rows.append(None)
                continue
            row = LoopRow(one, spec, self.max_new_tokens, policy, self.end_id, logits.device)
            self._rows.append(_Uniform(row) if mask is None else _Masked(row, mask))


class _Uniform:
    """A row of a model of uniform noise. ``written`` int64[L] is what the pipeline commits if the canvas ends now: its
    argmax where it holds the row, else the last step's sample."""

    def __init__(self, row: LoopRow) -> None:
        self.row = row
        self.written: torch.Tensor | None = None

    def open(self, length: int) -> None:
        if self.written is not None:
            self.row.commit(self.written.tolist())
        self.row.start(length)
        self.written = None

    def shape(self, logits: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        if self.written is not None and torch.equal(sample, self.written):  # the pipeline holds the row
            return raised(logits, self.written)
        draft = self.row.draft(logits)
        self.written = draft.tokens
        return draft.logits

    def settle(self, out: dict[str, torch.Tensor], last: bool) -> None:
        if last and self.written is not None:
            out["prev_sample"].copy_(self.written)


class _Masked:
    """A row of a model of masks. ``target`` int64[n] is what is to be written: the joint maximum, given what stands.

    Only tokens that agree with it are written, and what is left in the last step. A block without masks is edited as a
    whole or not at all, for a part of an edit may be no output.
    """

    def __init__(self, row: LoopRow, mask: int) -> None:
        self.row, self.mask = row, mask
        self.written: torch.Tensor | None = None

    def open(self, length: int) -> None:
        if self.written is not None:
            self.row.commit(self.written.tolist())
        self.row.start(length)

    def shape(self, logits: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        self.sample = sample.clone()
        self.masked = sample.eq(self.mask)
        if self.row.session.finished:
            self.target = sample.clone()
            self.target[0] = self.row.end()
            return logits
        whole = not bool(self.masked.any())
        draft = self.row.draft(logits, torch.full_like(sample, self.mask) if whole else sample)
        self.target = draft.tokens if whole else torch.where(self.masked, draft.tokens, sample)
        return draft.logits

    def settle(self, out: dict[str, torch.Tensor], last: bool) -> None:
        agreed = out["sampled_tokens"].eq(self.target)
        transfer = out["transfer_index"] & agreed & self.masked
        edited = torch.zeros_like(transfer)
        if self.row.session.finished:  # an end token, and nothing behind it
            transfer = torch.zeros_like(transfer)
            transfer[0] = self.masked[0]
        elif last:
            transfer = self.masked
        if not self.masked.any():
            changed = self.target.ne(self.sample)
            if bool((out["editing_transfer_index"] & agreed)[changed].all()):
                edited = changed
        self.written = torch.where(transfer | edited, self.target, self.sample)
        out["sampled_tokens"].copy_(torch.where(transfer | edited, self.target, out["sampled_tokens"]))
        out["transfer_index"].copy_(transfer)
        out["editing_transfer_index"].copy_(edited)
        out["prev_sample"].copy_(self.written)


def _like(original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
    """The replacement, with the name and signature of the original."""

    @functools.wraps(original)
    def called(*args: Any, **kwargs: Any) -> Any:
        return replacement(*args, **kwargs)

    return called
