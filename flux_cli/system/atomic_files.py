"""Files that are complete or absent: temporary name, sync, rename, sync of the directory."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def temporary_beside(target: Path) -> Path:
    """Return an unused name in the directory of `target`; hidden, so that a glob for images does not match it."""
    import secrets  # slow to import: OpenSSL

    return target.with_name(f".flux-{secrets.token_hex(8)}.part")


def create(path: Path, mode: int = 0o666) -> int:
    """Return a descriptor of a new file with `mode` less the umask. Raise OSError if the name exists."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)


def make_directory(directory: Path) -> None:
    """Create a directory and its missing parents. Raise OSError, NotADirectoryError if the name is that of a file."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory)) from error


def make_private_directory(directory: Path) -> None:
    """Create a directory and its missing parents, for their owner only. Raise OSError.

    `mkdir` with `parents` would leave the mode of the parents to the umask.
    """
    for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def probe(directory: Path) -> None:
    """Write a small file into a directory and remove it. Raise OSError if the directory or the disk refuses it."""
    trial = temporary_beside(directory / "probe")
    try:
        with open(create(trial), "wb") as file:
            file.write(b"\0" * 4096)
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()


@contextlib.contextmanager
def replacing(target: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yield a file that replaces `target`, synced, when the block ends without an error; else `target` is unchanged.

    mode: less the umask. Raise OSError.
    """
    temporary = temporary_beside(target)
    try:
        with open(create(temporary, mode), "wb") as file:
            yield file
            file.flush()
            sync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def write_atomic(target: Path, content: bytes) -> None:
    """Replace `target` with `content`, readable by its owner only. Raise OSError, and leave the old file unchanged."""
    with replacing(target, 0o600) as file:
        file.write(content)


def move_into_place(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Sync a complete file to the disk, then give it its final name.

    Without `overwrite` an existing target is never replaced, even one that appeared a moment ago: `link` fails where
    `rename` would replace it. Raise FileExistsError or OSError.
    """
    with open(temporary, "rb+") as file:
        sync(file.fileno())
    if overwrite:
        temporary.replace(target)
    else:
        _place_new(temporary, target)
    sync_directory(target.parent)


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


def sync(descriptor: int) -> None:
    """Wait until the content of an open file is on the disk. Raise OSError.

    On macOS `fsync` leaves it in the cache of the drive, which a power cut empties (fsync(2)). F_FULLFSYNC does not,
    but some file systems, SMB among them, refuse it.
    """
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable. Windows cannot open a directory and does not need this."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse it; the content is synced already
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def count_openable(most: int) -> int:
    """Return how many more files this process can open, up to `most`."""
    opened = list[int]()
    try:
        while len(opened) < most:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return len(opened) if error.errno in (errno.EMFILE, errno.ENFILE) else most
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return most
