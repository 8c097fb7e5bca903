"""What the flags of other command lines are here: of lm-evaluation-harness, CLIP_benchmark and open_clip's training.

Flags that a subcommand has itself are not looked up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_ZERO_SHOT = "every task is zero-shot: there are no examples, and no probe is trained"
_PROMPT = "captions are encoded as they are: --text_template 'a photo of {}' puts words around them"
_LEVELS = "there is one level: results go to stdout, progress and notes to stderr (2>/dev/null drops them)"
_DECLARED = "this is part of a task: `clipbench ls tasks` lists them, --include_path adds tasks of your own in YAML"
_SPLIT = "a task has its split; --data NAME=hub:OWNER/NAME:SPLIT or NAME=PLACE?split=SPLIT reads another one"
_CACHE = "--use_cache [DIR] keeps embeddings between runs"
_HUB_CACHE = "models and data sets are cached where the hub's libraries do it: set HF_HOME"
_OPEN_CLIP = "write --model open_clip:{model}/{value}"
_TORCHRUN = "start several processes with torchrun --nproc_per_node N -m clipbench …"
_WHOLE_BATCH = "the loss always sees the whole batch of all processes, with gradients"
_AS_IN_EVALUATION = "images are prepared as in evaluation, as the checkpoint says, without augmentation"
_ARCHITECTURE = "the architecture is the checkpoint's: another one is another --model open_clip:ARCH/TAG"
_ADAMW = "the optimizer is AdamW with torch's defaults: --learning_rate, --weight_decay and --layer_decay are yours"
_EVAL_TASKS = "--eval_tasks NAMES scores every checkpoint on tasks of clipbench"
_TABLE = "separators and columns of a table are found from its header, open_clip's filepath and title among them"
_FINETUNE = "`clipbench finetune` trains: see `clipbench finetune --help`"
_LOGGED = "write --report_to wandb, or trackio: scores go to the project clipbench"
_ONE_LOSS = "is not trained here: --loss has what there is"
_NOT_COPIED = "nothing is copied elsewhere while training: --output_path DIR is all there is"

_LM_EVAL = {
    "num_fewshot f fewshot_as_multiturn": _ZERO_SHOT,
    "apply_chat_template system_instruction": _PROMPT,
    "max_batch_size": "--batch_size N is the largest already; it is halved when memory runs out",
    "gen_kwargs": "nothing is generated: images and texts are compared by their embeddings",
    "samples E": "samples are not picked one by one: --limit takes the first N, or a share",
    "cache_requests": _CACHE,
    "check_integrity": "`clipbench validate TASKS` checks tasks and their data",
    "verbosity v": _LEVELS,
    "write_out w": "`clipbench show DIR --tasks NAMES` draws samples of a run with --output_path DIR --log_samples",
    "show_config": "--format json prints the results with every task's declaration",
    "wandb_args wandb_config_args trackio_args": _LOGGED,
    "hf_hub_log_args": "`clipbench push DIR --dataset_repo OWNER/NAME` uploads the results of --output_path DIR",
    "predict_only x": "--log_samples writes every sample's scores, and `clipbench rescore` computes metrics from them",
    "confirm_run_unsafe_code": "no task runs code that a model wrote; --trust_remote_code is for a checkpoint's own",
    "metadata": "tasks take no arguments: --include_path adds tasks of your own in YAML",
}
_CLIP_BENCHMARK = {
    "dataset": "name what to score with --tasks, such as --tasks coco_karpathy: `clipbench ls tasks` lists them",
    "dataset_root": "--data NAME=FOLDER says where a data set is, such as --data coco=FOLDER",
    "split test_split": _SPLIT,
    "train_split val_split val_proportion fewshot_k fewshot_epochs fewshot_lr skip_load": _ZERO_SHOT,
    "pretrained": _OPEN_CLIP,
    "pretrained_model": "write --model open_clip:ARCH/TAG, several times or in a .txt file with one on each line",
    "model_type": "--model says it: open_clip:ARCH/TAG, a hub id or a folder: `clipbench ls models` lists the forms",
    "task": "a task has its type: choose tasks with --tasks, and `clipbench ls tasks` lists them with their types",
    "no_amp": "encoders run in float32 unless --dtype says otherwise; scores are always float32",
    "recall_k": "recall at 1, 5 and 10 is always reported",
    "distributed": _TORCHRUN,
    "normalize": "features are always normalized",
    "model_cache_dir wds_cache_dir": _HUB_CACHE,
    "feature_root": _CACHE,
    "annotation_file custom_classname_file custom_template_file dump_classnames dump_templates language": _DECLARED,
    "output": "--output_path DIR is the folder for results",
    "quiet": _LEVELS,
    "save_clf load_clfs": f"classifiers are not stored: {_CACHE}",
    "skip_existing": "the same command with the same --output_path resumes an unfinished run",
}
_OPEN_CLIP_TRAIN = {
    "train_data epochs lr": _FINETUNE,  # where the command is another one
    "train_data_upsampling_factors": "--mix NAME=SHARE takes a share of each batch from another data set",
    "val_data val_frequency imagenet_val imagenet_v2 zeroshot_frequency": _EVAL_TASKS,
    "val_num_samples": "--eval_limit N scores at most N samples per task",
    "train_num_samples": "--limit N trains on the first N captions; how many there are is counted",
    "dataset_type": "the kind of data is found from the files",
    "dataset_resampled": "an epoch has every caption once: nothing is drawn with replacement",
    "csv_separator csv_img_key csv_caption_key": _TABLE,
    "cache_dir": _HUB_CACHE,
    "logs name": "--output_path DIR is the folder of the run",
    "log_local": "the main process writes the log, for all of them",
    "workers": "write --num_workers {value}",
    "epochs_cooldown": "--cooldown_steps N decays the learning rate to zero in the last N steps",
    "lr_cooldown_end lr_cooldown_power": "--cooldown_steps N decays the learning rate linearly to zero",
    "beta1 beta2 eps momentum opt": _ADAMW,
    "wd": "write --weight_decay {value}",
    "warmup": "write --warmup_steps {value}",
    "skip_scheduler": "--lr_schedule constant is the default",
    "lr_scheduler": "--lr_schedule is constant or cosine, each with --cooldown_steps N if you like",
    "save_frequency": "--checkpoint_every N saves every N epochs, or a share of one",
    "save_most_recent delete_previous_checkpoint": "--keep 1 keeps only the newest checkpoint",
    "resume": "the same command with the same --output_path resumes an unfinished run",
    "precision": "--dtype is the precision of the encoders: float32, bfloat16 or float16",
    "pretrained_image": "--vision ID --text ID pairs any two pretrained encoders of transformers",
    "lock_image": "write --freeze image",
    "lock_image_unlocked_groups": "write --freeze image --unfreeze_image_layers {value}",
    "lock_text": "write --freeze text",
    "lock_text_unlocked_layers": "write --freeze text --unfreeze_text_layers {value}",
    "lock_image_freeze_bn_stats lock_text_freeze_layer_norm": "--freeze freezes norms and their statistics, too",
    "image_mean image_std image_interpolation image_resize_mode aug_cfg": _AS_IN_EVALUATION,
    "force_context_length force_image_size force_quick_gelu force_patch_dropout force_custom_text": _ARCHITECTURE,
    "grad_checkpointing": _FINETUNE,
    "local_loss gather_with_grad": _WHOLE_BATCH,
    "accum_freq": "--micro_batch_size N encodes N pairs at once; the loss still sees the whole batch",
    "torchscript torchcompile": "write --torch_compile",
    "trace debug copy_codebase": "there is no such mode: a run's folder records the recipe and the versions",
    "dist_url dist_backend horovod ddp_static_graph no_set_device_rank use_bn_sync": _TORCHRUN,
    "wandb_notes wandb_project_name": "--report_to wandb logs to the project clipbench; wandb reads its environment",
    "grad_clip_norm": "write --max_grad_norm {value}",
    "log_every_n_steps": "every step is logged",
    "coca_caption_loss_weight coca_contrastive_loss_weight": f"CoCa's captioning {_ONE_LOSS}",
    "distill_model distill_pretrained": f"distillation {_ONE_LOSS}",
    "siglip": "write --loss sigmoid",
    "loss_dist_impl": _WHOLE_BATCH,
    "remote_sync remote_sync_frequency remote_sync_protocol": _NOT_COPIED,
    "use_bnb_linear": "layers are not quantized in training; --lora_rank N trains few weights",
}
FLAGS = {
    flag: answer
    for table in (_OPEN_CLIP_TRAIN, _CLIP_BENCHMARK, _LM_EVAL)
    for flags, answer in table.items()
    for flag in flags.split()
}

# What other command lines take as a value of a flag that is here, too: parameter, pattern, answer.
_VALUES = (
    ("batch_size", r"auto:[\d.]+", "write auto: it adapts while running, and is not tried out again"),
    ("tasks", "list|list_tasks|list_subtasks", "`clipbench ls tasks` lists the tasks"),
    ("tasks", "list_groups|list_tags", "`clipbench ls groups` and `clipbench ls tags` list them"),
    ("tasks", "(wds/)?mscoco_captions", "write coco_karpathy, Karpathy's test split"),
    ("seed", r"\d+(,(\d+|None))+", "give one number: it seeds everything"),
    ("precision", r"amp|amp_bf\w+|pure_\w+", "give auto, which is half precision on a GPU; weights stay in fp32"),
)

_COMMANDS = {
    "build": "`clipbench leaderboard RESULTS` merges results into one table",
    "train": "`clipbench finetune` trains a model",
}


def explain_flag(flag: str, arguments: Sequence[str]) -> str | None:
    """What a flag of another command line is here, in one line; None if it is of none of them.

    Args:
        flag: As it was given, with its hyphens.
        arguments: The command's arguments; an answer may repeat their values.

    Examples:
        >>> explain_flag("--pretrained", ["--model", "ViT-B-32", "--pretrained", "openai"])
        '--pretrained openai: write --model open_clip:ViT-B-32/openai'
    """
    answer = FLAGS.get(flag.lstrip("-").replace("-", "_"))
    if answer is None:
        return None
    value, model = _value(arguments, flag), _value(arguments, "--model", "-M")
    said = answer.replace("{value}", value or "VALUE").replace("{model}", model or "ARCH")
    return f"{flag}{f' {value}' if value and '{value}' in answer else ''}: {said}"


def explain_value(values: Mapping[str, object]) -> str | None:
    """What a value that another command line takes is here, in one line; None if there is none.

    Args:
        values: Parameter to its value, or to a tuple of them, as they were given.

    Examples:
        >>> explain_value({"tasks": ("list",)})
        '--tasks list: `clipbench ls tasks` lists the tasks'
    """
    for name, pattern, answer in _VALUES:
        given = values.get(name)
        for value in given if isinstance(given, list | tuple) else [given]:
            if isinstance(value, str) and re.fullmatch(pattern, value):
                return f"--{name} {value}: {answer}"
    return None


def explain_command(name: str) -> str | None:
    """What a subcommand of another command line is here; None if it is of none of them."""
    return _COMMANDS.get(name)


def _value(arguments: Sequence[str], *flags: str) -> str:
    """What follows a flag, or an empty string."""
    names = {flag.replace("-", "_") for flag in flags}
    for number, word in enumerate(arguments):
        flag, sign, value = word.partition("=")
        if flag.replace("-", "_") in names:
            following = value if sign else "".join(arguments[number + 1 : number + 2])
            return "" if following.startswith("-") else following
    return ""
