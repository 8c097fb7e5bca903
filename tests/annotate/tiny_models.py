"""Pipelines and segmenters of random but seeded weights, saved to a folder: real code, small numbers."""

import torch

from clipbench.models.convert import clip_tokenizer


def build_inpainter(folder, seed=0, channels=9):
    """A Stable Diffusion inpainting pipeline of a few thousand weights; its own size is 64 x 64 pixels."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=32,
            in_channels=channels,
            out_channels=4,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=64,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=16,
                intermediate_size=32,
                num_attention_heads=2,
                num_hidden_layers=1,
                vocab_size=49408,
                bos_token_id=49406,
                eos_token_id=49407,
                pad_token_id=49407,
            )
        )
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=clip_tokenizer(),
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def build_clipseg(folder, seed=0):
    """A CLIPSeg of a few thousand weights, which sees pictures at 32 x 32 pixels."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPSegProcessor, ViTImageProcessor

    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3}
    config = CLIPSegConfig(
        text_config={**tower, **TEXT},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        reduce_dim=8,
        extract_layers=(0, 1, 2),
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    _save(CLIPSegForImageSegmentation, config, folder, seed)
    images = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    CLIPSegProcessor(images, clip_tokenizer()).save_pretrained(folder)
    return folder


def build_detector(folder, seed=0):
    """An OWLv2 of a few thousand weights."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    config = Owlv2Config(
        text_config={**tower, **TEXT, "max_position_embeddings": 16},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    _save(Owlv2ForObjectDetection, config, folder, seed, _unsure)
    tokenizer = clip_tokenizer()
    tokenizer.model_max_length = 16
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def build_sam3(folder, seed=0):
    """A SAM 3 of a few thousand weights, which sees pictures at 112 x 112 pixels."""
    from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

    part = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    backbone = {"model_type": "sam3_vit_model", **part, "num_hidden_layers": 1, "image_size": 112, "window_size": 4}
    config = Sam3Config(
        vision_config={
            "backbone_config": {**backbone, "pretrain_image_size": 56, "global_attn_indexes": [0]},
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        text_config={**part, **TEXT, "num_hidden_layers": 1, "max_position_embeddings": 32, "projection_dim": 32},
        geometry_encoder_config={**part, "num_layers": 1},
        detr_encoder_config={**part, "num_layers": 1},
        detr_decoder_config={**part, "num_layers": 1, "num_queries": 5},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    _save(Sam3Model, config, folder, seed)
    tokenizer = clip_tokenizer()
    tokenizer.model_max_length = 32
    images = Sam3ImageProcessor(size={"height": 112, "width": 112}, mask_size={"height": 32, "width": 32})
    Sam3Processor(images, tokenizer).save_pretrained(folder)
    return folder


TEXT = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}


def _save(network, config, folder, seed, adjust=lambda module: None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = network(config)
    with torch.no_grad():
        adjust(module)
    module.save_pretrained(folder)


def _unsure(detector):
    """Boxes near their places on the grid, with probabilities of a few percent."""
    detector.box_head.dense2.weight.mul_(0.01)
    detector.box_head.dense2.bias.zero_()
    for layer in (detector.class_head.logit_scale, detector.class_head.logit_shift):
        layer.weight.zero_()
        layer.bias.zero_()
    detector.class_head.logit_shift.bias.fill_(-3)
