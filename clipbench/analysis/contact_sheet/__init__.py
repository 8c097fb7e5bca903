"""Contact sheets: logged samples with their images, texts and scores, as a PNG or an HTML page."""

from clipbench.analysis.contact_sheet.images import data_uri, open_images
from clipbench.analysis.contact_sheet.page import html_page
from clipbench.analysis.contact_sheet.picture import draw_sheet, missing_letters
from clipbench.analysis.contact_sheet.samples import ShownSample, show_sample, shown_scores
from clipbench.analysis.contact_sheet.sheet import ContactSheet, make_contact_sheet

__all__ = [
    "ContactSheet",
    "ShownSample",
    "data_uri",
    "draw_sheet",
    "html_page",
    "make_contact_sheet",
    "missing_letters",
    "open_images",
    "show_sample",
    "shown_scores",
]
