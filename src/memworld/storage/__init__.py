"""What lies on disk: files that are whole or not there, and folders that are memworld's own."""

from memworld.storage.files import (
    check_file,
    check_name,
    one_line,
    read_arrays,
    read_json,
    to_json,
    void,
    write_arrays,
    write_atomic,
    write_bytes,
    write_json,
    write_picture,
)
from memworld.storage.folders import (
    KIND_KEY,
    OnExisting,
    check_no_links,
    locked,
    make_folder,
    prepare_folder,
    remove_unfinished,
)

__all__ = [
    "KIND_KEY",
    "OnExisting",
    "check_file",
    "check_name",
    "check_no_links",
    "locked",
    "make_folder",
    "one_line",
    "prepare_folder",
    "read_arrays",
    "read_json",
    "remove_unfinished",
    "to_json",
    "void",
    "write_arrays",
    "write_atomic",
    "write_bytes",
    "write_json",
    "write_picture",
]
