"""A contact sheet as one HTML page with the images inside."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader

from clipbench.analysis.contact_sheet.images import data_uri
from clipbench.analysis.contact_sheet.sheet import ContactSheet

_PIXELS = 480  # of an image's longer side: twice as many as are shown beside another one


def html_page(sheet: ContactSheet) -> str:
    """Render a sheet. The page needs nothing else: no network, no script, no second file."""
    # The package's own template; every value is escaped.
    environment = Environment(
        loader=PackageLoader("clipbench.analysis.contact_sheet", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cards = [([data_uri(image, _PIXELS) for image in card.images], card.samples) for card in sheet.cards]
    return environment.get_template("contact_sheet.html").render(sheet=sheet, cards=cards)
