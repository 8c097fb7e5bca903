"""InpaintCOCO, cleaned, with captions in 14 languages."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import PairsTask

_LANGUAGES = ("en", "cs", "ro", "de", "it", "az", "el", "ja", "sk", "vi", "uk", "ar", "ru", "hi")
_IN = {language: (f"coco_caption_{language}", f"inpaint_caption_{language}") for language in _LANGUAGES}
MULTILINGUAL = Dataset(
    name="inpaintcoco_multilingual",
    title="InpaintCOCO multilingual",
    hub=HubTable(
        repo="",
        revision="main",
        split="test",
        images=("coco_image", "inpaint_image"),
        captions=_IN["en"],
        fields=("concept", *(name for columns in _IN.values() for name in columns)),
    ),
    license="MIT; photographs of COCO val2017 with licenses that allow adaptation.",
    citation="Rösch et al. 2024, arXiv 2403.02875, §4; translated and cleaned at ÚFAL, 2025",
    references=("rosch2024enhancing",),
    homepage="https://ufal.mff.cuni.cz",
    instructions="give the folder that save_to_disk wrote, a folder of parquet files, or hub:OWNER/NAME",
)


class Multilingual(PairsTask):
    """953 of the 1,260 pairs, with corrected captions, including the English ones."""

    dataset = MULTILINGUAL
    groups = ("inpaintcoco_multilingual",)
    group_field = "concept"
    expected_n = 953


English = Multilingual.declare("inpaintcoco_multilingual_en", "English.", language="en", caption_fields=_IN["en"])
Czech = Multilingual.declare("inpaintcoco_multilingual_cs", "Czech.", language="cs", caption_fields=_IN["cs"])
Romanian = Multilingual.declare("inpaintcoco_multilingual_ro", "Romanian.", language="ro", caption_fields=_IN["ro"])
German = Multilingual.declare("inpaintcoco_multilingual_de", "German.", language="de", caption_fields=_IN["de"])
Italian = Multilingual.declare("inpaintcoco_multilingual_it", "Italian.", language="it", caption_fields=_IN["it"])
Azerbaijani = Multilingual.declare(
    "inpaintcoco_multilingual_az", "Azerbaijani.", language="az", caption_fields=_IN["az"]
)
Greek = Multilingual.declare("inpaintcoco_multilingual_el", "Greek.", language="el", caption_fields=_IN["el"])
Japanese = Multilingual.declare("inpaintcoco_multilingual_ja", "Japanese.", language="ja", caption_fields=_IN["ja"])
Slovak = Multilingual.declare("inpaintcoco_multilingual_sk", "Slovak.", language="sk", caption_fields=_IN["sk"])
Vietnamese = Multilingual.declare("inpaintcoco_multilingual_vi", "Vietnamese.", language="vi", caption_fields=_IN["vi"])
Ukrainian = Multilingual.declare("inpaintcoco_multilingual_uk", "Ukrainian.", language="uk", caption_fields=_IN["uk"])
Arabic = Multilingual.declare("inpaintcoco_multilingual_ar", "Arabic.", language="ar", caption_fields=_IN["ar"])
Russian = Multilingual.declare("inpaintcoco_multilingual_ru", "Russian.", language="ru", caption_fields=_IN["ru"])
Hindi = Multilingual.declare("inpaintcoco_multilingual_hi", "Hindi.", language="hi", caption_fields=_IN["hi"])


class InpaintCocoCleaned(Multilingual):
    """The English captions only."""

    name = "inpaintcoco_cleaned"
    groups = ()
    caption_fields = _IN["en"]
    language = "en"
