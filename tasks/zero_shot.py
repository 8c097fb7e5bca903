"""Zero-shot classification: ImageNet and twelve small sets, to see what a fine-tuned model has forgotten.

The data is CLIP_benchmark's, with its class names and prompts; ImageNet's names and 80 prompts are open_clip's.
"""

from clipbench.task_types import ClassificationTask


class ZeroShot(ClassificationTask):
    """Data, class names and prompts as CLIP_benchmark publishes them."""

    tags = ("zero_shot",)


ImageNet1k = ZeroShot.of_tars(
    "imagenet1k",
    "ImageNet",
    "wds_imagenet1k",
    50_000,
    "Deng et al. 2009, ImageNet; Russakovsky et al. 2015, arXiv 1409.0575",
    "deng2009imagenet",
    "russakovsky2015imagenet",
    class_names="open_clip:IMAGENET_CLASSNAMES",
    templates="open_clip:OPENAI_IMAGENET_TEMPLATES",
    note="two pairs of classes share a name (missile, sunglasses) and tie: their 200 images count as wrong",
)
Caltech101 = ZeroShot.of_tars(
    "caltech101", "Caltech 101", "wds_vtab-caltech101", 6_085, "Fei-Fei et al. 2004, Caltech 101", "feifei2004learning"
)
Cars = ZeroShot.of_tars(
    "cars", "Stanford Cars", "wds_cars", 8_041, "Krause et al. 2013, Stanford Cars", "krause2013object"
)
Cifar10 = ZeroShot.of_tars(
    "cifar10", "CIFAR-10", "wds_cifar10", 10_000, "Krizhevsky 2009, CIFAR-10", "krizhevsky2009learning"
)
Cifar100 = ZeroShot.of_tars(
    "cifar100", "CIFAR-100", "wds_vtab-cifar100", 10_000, "Krizhevsky 2009, CIFAR-100", "krizhevsky2009learning"
)
Dtd = ZeroShot.of_tars(
    "dtd", "Describable Textures", "wds_vtab-dtd", 1_880, "Cimpoi et al. 2014, arXiv 1311.3618", "cimpoi2014describing"
)
EuroSat = ZeroShot.of_tars(
    "eurosat", "EuroSAT", "wds_vtab-eurosat", 5_400, "Helber et al. 2019, arXiv 1709.00029", "helber2019eurosat"
)
Aircraft = ZeroShot.of_tars(
    "fgvc_aircraft", "FGVC Aircraft", "wds_fgvc_aircraft", 3_333, "Maji et al. 2013, arXiv 1306.5151", "maji2013fine"
)
Flowers = ZeroShot.of_tars(
    "flowers102",
    "Flowers 102",
    "wds_vtab-flowers",
    6_149,
    "Nilsback and Zisserman 2008, Flowers 102",
    "nilsback2008automated",
)
Food101 = ZeroShot.of_tars(
    "food101", "Food-101", "wds_food101", 25_250, "Bossard et al. 2014, Food-101", "bossard2014food"
)
Mnist = ZeroShot.of_tars("mnist", "MNIST", "wds_mnist", 10_000, "LeCun et al. 1998, MNIST", "lecun1998gradient")
Pets = ZeroShot.of_tars(
    "pets", "Oxford-IIIT Pets", "wds_vtab-pets", 3_669, "Parkhi et al. 2012, Oxford-IIIT Pets", "parkhi2012cats"
)
Stl10 = ZeroShot.of_tars("stl10", "STL-10", "wds_stl10", 8_000, "Coates et al. 2011, STL-10", "coates2011analysis")
