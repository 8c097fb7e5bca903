"""Raw layouts of published data sets, one module each.

A module has ``EXPECTS`` (what it looks like, for messages), ``recognize(path)`` (what it needs to open the layout, or
None) and ``open_layout(found, location)`` (a source of rows). List a new one here, and
name it in its data set's ``layouts``.
"""

LAYOUTS = ("coco", "flickr30k", "sbu", "fashion200k")
