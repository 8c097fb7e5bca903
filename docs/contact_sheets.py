"""Draw the contact sheets of docs/studies/photographs: `python docs/contact_sheets.py STUDY COCO`.

STUDY is the folder of `clipbench reproduce photographs`, COCO that of val2017. Only photographs whose license lets
anybody show them are drawn (CC BY, no known restrictions, works of the US government); CREDITS.md names each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from clipbench.analysis.contact_sheet import ContactSheet, draw_sheet, make_contact_sheet
from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.kinds import Kind
from clipbench.reproduce.steps import runs_of
from clipbench.reproduce.study import load_study
from clipbench.results.sample_log import logged_samples

_FREE = {4, 7, 8}  # COCO's numbers of licenses
_MOST, _WIDTH = 6, 1000
_TASKS = {"color": "coco_color", "location": "coco_location", "size": "coco_size"}


def sheet_of(study: StudyFolder, concept: str, task: str, which: str, free: set[str], coco: Path) -> ContactSheet:
    """Samples that HN1 has right and Clas. wrong, or the other way, of the first seed."""
    files = []
    for kind in (Kind(1), Kind(0)):
        run = next(one for one in runs_of(load_study("photographs")) if (one.concept, one.kind) == (concept, kind))
        record = study.training(run)
        if record is None:
            sys.exit(f"{study.path}: {run.name} is not trained")
        files.append(study.scores(run, record.checkpoints[-1][0], task))
    model, against = files
    keys = {key for sample in logged_samples(model, task) for key in sample.images if Path(key).name in free}
    return make_contact_sheet(model, task, which, _MOST, against=against, among=keys, data={"coco": str(coco)})  # type: ignore[arg-type]


def main(study: StudyFolder, coco: Path, folder: Path) -> None:
    """Draw a sheet for each concept and direction, and write the credits."""
    captions = json.loads((coco / "annotations" / "captions_val2017.json").read_text(encoding="utf-8"))
    licenses = {entry["id"]: f"[{entry['name']}]({entry['url']})" for entry in captions["licenses"]}
    images = {image["file_name"]: image for image in captions["images"] if image["license"] in _FREE}
    shown: set[str] = set()
    for concept, task in _TASKS.items():
        for which in ("right", "wrong"):
            sheet = sheet_of(study, concept, task, which, set(images), coco)
            if not sheet.cards:
                continue
            picture = draw_sheet(sheet)
            picture.thumbnail((_WIDTH, 10 * _WIDTH))
            picture.convert("RGB").save(folder / f"{concept}-{which}.jpg", quality=82)
            numbers = {int(sample.id.partition("#")[0]) for card in sheet.cards for sample in card.samples}
            shown |= {name for name, image in images.items() if image["id"] in numbers}
    lines = [f"- [{name}]({images[name]['flickr_url']}), {licenses[images[name]['license']]}" for name in sorted(shown)]
    (folder / "CREDITS.md").write_text("# Photographs shown here\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(StudyFolder(Path(sys.argv[1])), Path(sys.argv[2]), Path(__file__).parent / "studies" / "photographs")
