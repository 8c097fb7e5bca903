"""The preparation of a run: pairs, the model, decoded images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clipbench.concepts import Concept
from clipbench.errors import ConfigError, ModelError
from clipbench.evaluation.options import Progress
from clipbench.models import Model, load_model
from clipbench.models.compiling import compile_towers
from clipbench.models.gradient_checkpointing import checkpoint_gradients
from clipbench.training.accelerator import start_accelerator
from clipbench.training.batches import Batches, ProcessShard
from clipbench.training.checkpoint_scores import CheckpointScores, read_tasks
from clipbench.training.datasets import training_concepts
from clipbench.training.freezing import freeze, logit_bias_parameter, logit_scale_parameter
from clipbench.training.logit_bias import ensure_logit_bias
from clipbench.training.lora import add_lora
from clipbench.training.losses import find_loss
from clipbench.training.mixing import joined, mixed_facts, read_mix
from clipbench.training.options import FinetuneOptions
from clipbench.training.pairs import TrainingPairs, check_negatives
from clipbench.training.recipe import Recipe
from clipbench.training.run_data import (
    decode_images,
    image_inputs,
    keyword_dependence,
    overlaps_with_tasks,
    read_pairs,
)
from clipbench.training.run_folder import RunFolder
from clipbench.training.selection import scored_tasks
from clipbench.utils.text import pluralize
from clipbench.utils.urls import without_secrets

if TYPE_CHECKING:
    from accelerate import Accelerator

Note = Callable[[str], None]


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a run needs.

    Attributes:
        recipe: The recipe, its precision resolved.
        options: How the run is carried out.
        accelerator: The processes.
        folder: The run's folder.
        model: The model, frozen and adapted as the recipe says.
        pairs: The training pairs.
        batches: The batches of the run.
        image_features: Batches hold features of the frozen image tower instead of pixels.
        concepts: The concepts.
        scores: Scores the checkpoints.
        facts: The content of ``finetune.json``.
    """

    recipe: Recipe
    options: FinetuneOptions
    accelerator: Accelerator
    folder: RunFolder
    model: Model
    pairs: TrainingPairs
    batches: Batches
    image_features: bool
    concepts: tuple[Concept, ...]
    scores: CheckpointScores
    facts: dict[str, Any]

    def check_folder(self) -> None:
        """Refuse a folder that holds another run.

        Raises:
            ConfigError: The folder holds a run with another recipe, model or data.
        """
        named = {"model": ("fingerprint",), "data": ("pairs", "fingerprint")}
        parts = {part: {name: self.facts[part][name] for name in names} for part, names in named.items()}
        self.folder.check({"recipe": self.recipe.as_dict(), **parts})


def prepare(
    model: object,
    train_data: str,
    recipe: Recipe,
    options: FinetuneOptions,
    output_path: Path,
    on_note: Note,
    on_progress: Progress,
) -> TrainingSetup:
    """Load and check everything, starting with what is cheap and likely to be wrong.

    Raises:
        UnknownName, ConfigError: An option is invalid, or the folder holds another run.
        DataError: Data or an image cannot be read.
        ModelError: The model cannot be loaded.
    """
    if options.fsdp and (recipe.lora_rank or recipe.select):
        raise ConfigError(f"fsdp with {'lora_rank' if recipe.lora_rank else 'select'}: not supported; leave one out")
    options = replace(options, eval_tasks=scored_tasks(options.eval_tasks, recipe.select))
    accelerator = start_accelerator(options, output_path)
    device = options.device if options.device and accelerator.num_processes == 1 else str(accelerator.device)
    recipe, folder = resolve_precision(recipe, torch.device(device)), RunFolder(output_path)
    if accelerator.is_main_process:
        with folder.held():
            pass  # refused before the data is read
    if (begun := folder.begun(recipe)) != recipe:
        on_note(f"the run was begun by an earlier version, and goes on as it began: same_image {begun.same_image}")
        recipe = begun
    tasks, evaluation = read_tasks((train_data, *recipe.mix), options, accelerator.is_main_process, on_progress)
    scores = CheckpointScores(output_path, tasks, evaluation, on_progress)
    concepts = _checked_concepts(train_data, recipe, accelerator.num_processes)
    folder.check({"recipe": recipe.as_dict()})
    pairs = read_pairs(train_data, concepts, recipe, options, on_progress)
    dependence = keyword_dependence(pairs, on_note if accelerator.is_main_process else lambda text: None)
    pairs = joined(pairs, read_mix(train_data, concepts, recipe, options, on_progress))
    loaded, fingerprint = _load(model, recipe, options, device, on_note)
    cache, pairs = decode_images(loaded, pairs, options, on_note, on_progress)
    images = image_inputs(loaded, cache, recipe, options, on_note, on_progress)
    shard = ProcessShard(accelerator.process_index, accelerator.num_processes, options.micro_batch_size)
    batches = Batches(loaded, pairs, images, recipe, shard)
    overlaps = overlaps_with_tasks(pairs, tasks, options, on_note, on_progress)
    data = {"pairs": len(pairs.rows_of(0)), "fingerprint": pairs.fingerprint}
    identity = {"recipe": recipe.as_dict(), "model": {"fingerprint": fingerprint}, "data": data}
    folder.check(identity)
    encoded = recipe.keeps_image_tower
    ensure_logit_bias(loaded, recipe, accelerator, batches, image_features=encoded, on_note=on_note)
    facts = _facts(identity, loaded, train_data, pairs, overlaps)
    facts["data"].update(dependence)
    if accelerator.is_main_process and not folder.facts():
        folder.write({"status": "running", **facts})
    accelerator.wait_for_everyone()
    return TrainingSetup(recipe, options, accelerator, folder, loaded, pairs, batches, encoded, concepts, scores, facts)


def _checked_concepts(train_data: str, recipe: Recipe, processes: int) -> tuple[Concept, ...]:
    find_loss(recipe.loss)
    concepts = training_concepts(train_data, recipe.concepts)
    if not recipe.negatives_from:
        check_negatives(concepts, recipe.negatives)
    if recipe.batch_size % processes:
        raise ConfigError(f"batch_size {recipe.batch_size}: must be a multiple of the {processes} processes")
    return concepts


def _load(model: object, recipe: Recipe, options: FinetuneOptions, device: str, on_note: Note) -> tuple[Model, str]:
    """The model, frozen and adapted, and its original fingerprint."""
    loaded = load_model(model, model_args=options.model_args, device=device, dtype="float32")
    if loaded.untrainable:
        raise ModelError(f"{loaded.id} cannot be fine-tuned: {loaded.untrainable}")
    if recipe.precision == "fp16" and loaded.device.type != "cuda":
        raise ConfigError(f"precision fp16 needs a GPU; on {loaded.device.type} use fp32 or bf16")
    if loaded.chosen:
        on_note(loaded.chosen)
    fingerprint = loaded.fingerprint
    train_bias = recipe.loss == "sigmoid"
    if unused := freeze(loaded, recipe.freeze, recipe.unfreeze_layers, train_bias=train_bias):
        on_note(f"{pluralize(len(unused), 'parameter')} without effect on the features ({', '.join(unused[:3])})")
    if recipe.lora_rank:
        alpha = recipe.lora_alpha if recipe.lora_alpha is not None else 2.0 * recipe.lora_rank
        add_lora(loaded, recipe.lora_rank, alpha, seed=recipe.seed)
    if options.grad_checkpointing:
        checkpoint_gradients(loaded)
    if options.torch_compile:
        compile_towers(loaded)
    of_logits = {logit_scale_parameter(loaded), logit_bias_parameter(loaded)}
    if not any(weight.requires_grad for weight in loaded.module.parameters() if weight not in of_logits):
        raise ConfigError(f"freeze {','.join(recipe.freeze)}: nothing is left to train in {loaded.id}")
    return loaded, fingerprint


def _facts(
    identity: Mapping[str, Mapping[str, object]],
    model: Model,
    train_data: str,
    pairs: TrainingPairs,
    overlaps: Sequence[str],
) -> dict[str, Any]:
    return {
        **identity,
        "model": {"id": model.id, **identity["model"], "facts": model.info.to_dict()},
        "data": {
            "written": without_secrets(train_data),
            **identity["data"],
            "images": len(pairs.images),
            "left_out": pairs.left_out,
            "revision": pairs.provenance.revision,
            **({"mixed": mixed_facts(pairs)} if pairs.mixed else {}),
        },
        "overlaps": overlaps,
        "versions": {name: metadata.version(name) for name in ("clipbench", "torch", "transformers", "accelerate")},
    }


def resolve_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """Replace the precision ``auto``: half precision on a CUDA GPU, fp32 elsewhere."""
    if recipe.precision != "auto":
        return recipe
    if device.type != "cuda":
        return replace(recipe, precision="fp32")
    # The paper trained in fp16; bf16 needs no loss scaling.
    return replace(recipe, precision="bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16")
