"""Writing files so that they are whole or absent: temporary name, sync, rename, sync of the folder."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that nobody uses; hidden, so that a glob for pictures passes it by."""
    import secrets  # with OpenSSL: not for those who only read

    return target.with_name(f".flux-{secrets.token_hex(8)}.part")


def create(path: Path, mode: int = 0o666) -> int:
    """A descriptor for a new file, its `mode` less the umask; raises OSError when the name exists."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone. Raises OSError.

    `mkdir` with `parents` would leave those above to the umask.
    """
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def probe(folder: Path) -> None:
    """Write a little into a folder, and take it away again. Raises OSError when that cannot be done."""
    trial = temporary_beside(folder / "probe")
    try:
        with open(create(trial), "wb") as file:
            file.write(b"\0" * 4096)
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()


@contextlib.contextmanager
def replacing(target: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write into. It takes the place of `target`, synced, when the block ends well; else the old one stands.

    mode: less the umask. Raises OSError.
    """
    temporary = temporary_beside(target)
    try:
        with open(create(temporary, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_atomic(target: Path, content: bytes) -> None:
    """Replace `target` with `content`, readable by its owner only. Raises OSError; then the old file stands."""
    with replacing(target, 0o600) as file:
        file.write(content)


def place(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Give a finished file its name, once its content is on the disk.

    Without `overwrite` an existing target is never replaced, even when it appeared a moment ago:
    `link` refuses where `rename` would not. Raises FileExistsError, OSError.
    """
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    if overwrite:
        temporary.replace(target)
    else:
        _place_new(temporary, target)
    sync_folder(target.parent)


def _place_new(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError) as error:
        # FAT, some network file systems and Android have no hard links.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        temporary.rename(target)
    else:
        temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Windows cannot open a folder, and needs no such thing."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse; the content is synced all the same
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
