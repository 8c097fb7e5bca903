"""Raw layouts of published data sets, one module each.

A module has ``EXPECTS`` (what it looks like, for messages), ``recognize(path)`` (what it needs to open the layout, or
None) and ``open_layout(found, location, images=FOLDER)`` (a source of rows; ``images`` is where the photographs are if
not next to the rows). With ``HAS_SPLITS``, ``open_layout`` also takes ``split``, empty for the default. List a new one
here, and name it in its data set's ``layouts``.
"""

CAPTION_LAYOUTS = ("coco", "karpathy", "flickr8k", "flickr30k", "sbu", "fashion200k", "img2dataset")
"""Photographs with captions: tried, in this order, on a user's own data too."""

LAYOUTS = (
    *("coco", "flickr30k", "sbu", "fashion200k", "flickr8k", "karpathy", "img2dataset"),
    *("sugarcrepe", "sugarcrepe_pp", "aro", "winoground", "svo_probes", "vl_checklist", "whatsup", "valse", "mmvp_vlm"),
    *("cola", "class_folders", "webdataset"),
)
