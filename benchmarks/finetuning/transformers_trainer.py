"""transformers' way to train a CLIP: `Trainer` over `CLIPModel`, as in its contrastive image-text example.

Texts are tokenised beforehand, padded to 77; images are decoded and transformed by torchvision in loader processes
each time they are asked for; the model returns its loss. It knows no hard negatives. Given one, the 2N texts of a
batch, captions first, are encoded at once, and the negatives are N further columns of the images' rows (NegCLIP,
Yuksekgonul et al. 2023, arXiv 2210.01936).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from job import Clock, Job, Pair, read_pairs, run
from torch import Tensor
from torch.nn import functional
from torchvision.io import ImageReadMode, read_image
from torchvision.transforms import v2
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel, Trainer, TrainerCallback, TrainingArguments


class _Pairs(torch.utils.data.Dataset[dict[str, Tensor]]):
    def __init__(self, pairs: list[Pair], folder: str, negatives: int) -> None:
        tokenizer, processor = AutoTokenizer.from_pretrained(folder), CLIPImageProcessor.from_pretrained(folder)
        self._images = [pair.image for pair in pairs]
        kinds = [[pair.caption for pair in pairs], [pair.negative for pair in pairs]][: 1 + negatives]
        encoded = [
            tokenizer(texts, max_length=77, padding="max_length", truncation=True, return_tensors="pt")
            for texts in kinds
        ]
        self._ids = torch.stack([each["input_ids"] for each in encoded], dim=1)  # (pairs, 1 + negatives, 77)
        self._masks = torch.stack([each["attention_mask"] for each in encoded], dim=1)
        size = processor.crop_size["height"]
        self._transform = v2.Compose(
            [
                v2.Resize(size, interpolation=v2.InterpolationMode.BICUBIC),
                v2.CenterCrop(size),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(processor.image_mean, processor.image_std),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pixels = self._transform(read_image(self._images[index], mode=ImageReadMode.RGB))
        return {"pixel_values": pixels, "input_ids": self._ids[index], "attention_mask": self._masks[index]}


def _collate(entries: list[dict[str, Tensor]]) -> dict[str, Any]:
    batch: dict[str, Any] = {name: torch.stack([entry[name] for entry in entries]) for name in entries[0]}
    for name in ("input_ids", "attention_mask"):
        batch[name] = batch[name].transpose(0, 1).flatten(0, 1)  # all captions, then all negatives
    return {**batch, "return_loss": True}


class _AppendingTrainer(Trainer):
    """Takes the negatives as further columns; the model's own loss has no place for them."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        output = model(**{**inputs, "return_loss": False})
        scores = output.logits_per_image  # (N, 2N)
        own = torch.arange(len(scores), device=scores.device)
        rows = functional.cross_entropy(scores, own)
        return (rows + functional.cross_entropy(scores[:, : len(own)].T, own)) / 2


class _Timer(TrainerCallback):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._clock.tick(state.global_step):
            control.should_training_stop = True


def work(job: Job) -> dict[str, float]:
    """Train, and measure."""
    folder, clock = str(Path(job.folder) / "transformers"), Clock(job)
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=job.batch_size,
            max_steps=job.warmup + job.steps + 2,
            learning_rate=job.learning_rate,
            weight_decay=job.weight_decay,
            max_grad_norm=0.0,  # the others do not clip either
            lr_scheduler_type="constant",
            bf16=job.precision == "bf16",
            use_cpu=job.device == "cpu",
            dataloader_num_workers=job.workers,
            dataloader_drop_last=True,
            remove_unused_columns=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = (_AppendingTrainer if job.negatives else Trainer)(
            model=CLIPModel.from_pretrained(folder),
            args=arguments,
            train_dataset=_Pairs(read_pairs(job), folder, job.negatives),
            data_collator=_collate,
            callbacks=[_Timer(clock)],
        )
        trainer.train()
    return clock.result()


if __name__ == "__main__":
    run(work)
