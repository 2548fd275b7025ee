"""One streaming writer per file format; `local.formats` chooses among them."""
