"""SVO-Probes: a sentence, an image that shows it, and one with another subject, verb or object."""

from clipbench.data import Dataset
from clipbench.task_types import ImageChoiceTask

SVO_PROBES = Dataset(
    name="svo_probes",
    title="SVO-Probes",
    hub=None,
    layouts=("svo_probes",),
    license="CC BY 4.0 (sentences and links); the images belong to their authors.",
    citation="Hendricks and Nematzadeh 2021, Probing Image-Language Transformers for Verb Understanding, ACL Findings",
    references=("hendricks2021probing",),
    homepage="https://github.com/google-deepmind/svo_probes",
    instructions="download the images of svo_probes.csv to images/IMAGE_ID.jpg next to it; dead links are counted",
)


class SvoProbes(ImageChoiceTask):
    """36,841 rows in all; many of their images can no longer be downloaded."""

    dataset = SVO_PROBES
    groups = ("svo_probes",)
    tags = ("compositional", "table6")
    chance = 1 / 2


class SvoSubject(SvoProbes):
    """The false image has another subject."""

    name = "svo_subject"
    where = {"subj_neg": True}


class SvoVerb(SvoProbes):
    """The false image has another verb."""

    name = "svo_verb"
    where = {"verb_neg": True}


class SvoObject(SvoProbes):
    """The false image has another object."""

    name = "svo_object"
    where = {"obj_neg": True}
