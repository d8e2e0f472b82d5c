"""A data set repository on the Hugging Face hub, through the hub's own client."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memworld.errors import MemworldError
from memworld.extras import import_extra
from memworld.sharing.hub_errors import explained
from memworld.sharing.parts import CARD, FIRST, Part
from memworld.sharing.places import HubPlace
from memworld.sharing.replacing import is_memory
from memworld.storage import delete
from memworld.store import INDEX

_KIND = "dataset"
_ATTRIBUTES = ".gitattributes"
"""The hub's own file, in every repository: how it stores the others."""

_OWN = {_ATTRIBUTES, ".gitignore", CARD}
"""Files that the hub's page makes for a new repository, which hold nothing that could be lost."""


@dataclass(frozen=True)
class Listing:
    """What a repository holds.

    Attributes:
        commit: of which this is the content.
        private: whether only its owner sees it.
        sizes: bytes of each file.
    """

    commit: str
    private: bool
    sizes: Mapping[str, int]


class Repository:
    """A repository on the hub that the client is set up for (`HF_ENDPOINT`), with its token."""

    def __init__(self, place: HubPlace, progress: bool = False) -> None:
        """Take up a repository, which need not be there yet.

        Args:
            place: its name.
            progress: show the client's progress bars.

        Raises:
            MemworldError: the extra `hub` is not installed, or there can be no such repository.
        """
        self._hub, self._utils, self._errors = (
            import_extra(f"huggingface_hub{part}", "hub", "memories on the hub") for part in ("", ".utils", ".errors")
        )
        self._id, self.name, self._progress = place.repository, str(place), progress
        with self._clear("named"):
            self._utils.validate_repo_id(self._id)
        self._api = self._hub.HfApi(library_name="memworld")

    @property
    def url(self) -> str:
        """The address of its page."""
        return f"{self._api.endpoint}/datasets/{self._id}"

    def check_target(self, private: bool, overwrite: bool) -> None:
        """Do nothing if a memory may be pushed there: there is no such repository, an empty one, or one to overwrite.

        Raises:
            MemworldError: it may not, or the hub cannot be asked.
        """
        with self._clear("pushed to"):
            self._api.whoami()
        there = self._find()
        if there is None:
            return
        if private and not there.private:
            raise MemworldError(
                f"{self.name} is there already, and public: make it private on {self.url}/settings, or name another"
            )
        if there.sizes.keys() <= {_ATTRIBUTES}:
            return
        if not overwrite:
            raise MemworldError(f"{self.name} exists and is not empty: name another, or use --overwrite")
        if not (there.sizes.keys() <= _OWN or self._holds_memory(there)):
            raise MemworldError(
                f"{self.name} holds no memory, so it is not memworld's to overwrite: name another repository"
            )

    def push(self, folder: Path, message: str, private: bool) -> None:
        """Let the repository hold what a folder holds, and nothing else, in one commit; make it if it is not there.

        Raises:
            MemworldError: it cannot be written, or somebody else has written to it meanwhile; what was there
                before is there still.
        """
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        with self._clear("pushed to"), self._quiet():
            # Of one that is there, `check_target` has seen whether it is private.
            self._api.create_repo(self._id, repo_type=_KIND, private=private or None, exist_ok=True)
            there = self._listing()
            operations = [self._hub.CommitOperationAdd(name, folder / name) for name in names]
            gone = sorted(there.sizes.keys() - set(names) - {_ATTRIBUTES})
            operations += [self._hub.CommitOperationDelete(name, is_folder=False) for name in gone]
            # Not `upload_folder`, which makes many commits of many files: between them lies no whole memory.
            done = self._api.create_commit(
                self._id, operations, commit_message=message, repo_type=_KIND, parent_commit=there.commit
            )
            now = self._listing(done.oid)
        missing = [name for name in names if now.sizes.get(name) != (folder / name).stat().st_size]
        if missing:
            raise MemworldError(
                f"{self.name} was pushed to, but has not taken {missing[0]} and {len(missing) - 1} more files (as a "
                ".gitignore there can cause): push again"
            )

    def at(self, revision: str | None) -> "Snapshot":
        """What the repository holds at a revision, to be pulled.

        Args:
            revision: a commit, branch or tag; None takes the newest.

        Raises:
            MemworldError: there is no such repository or revision, or the hub cannot be asked.
        """
        with self._clear("pulled from", revision):
            return Snapshot(self, self._listing(revision))

    def download(self, names: Sequence[str], commit: str, folder: Path) -> None:
        """Bring files of a commit into a folder.

        Raises:
            MemworldError: they cannot be read there, or written here.
        """
        with self._clear("pulled from", commit), self._quiet():
            self._api.snapshot_download(
                self._id, repo_type=_KIND, revision=commit, allow_patterns=list(names), local_dir=folder
            )
        delete(folder / ".cache")  # the client's own notes

    def _listing(self, revision: str | None = None) -> Listing:
        info = self._api.dataset_info(self._id, revision=revision)
        tree = self._api.list_repo_tree(self._id, recursive=True, revision=info.sha, repo_type=_KIND)
        sizes = {entry.path: int(entry.size) for entry in tree if hasattr(entry, "size")}  # no folders
        return Listing(str(info.sha), bool(info.private), sizes)

    def _find(self) -> Listing | None:
        with self._clear("pushed to"):
            try:
                return self._listing()
            except self._errors.GatedRepoError:
                raise
            except self._errors.RepositoryNotFoundError:
                return None

    def _holds_memory(self, there: Listing) -> bool:
        if not 0 <= there.sizes.get(INDEX, -1) <= FIRST.most:
            return False
        with tempfile.TemporaryDirectory() as folder:
            self.download([INDEX], there.commit, Path(folder))
            return is_memory(Path(folder))

    @contextmanager
    def _clear(self, done: str, revision: str | None = None) -> Iterator[None]:
        """The client's errors in our words."""
        try:
            yield
        except MemworldError:
            raise
        # The client's own errors are ValueErrors and OSErrors; those of its HTTP library are neither.
        except Exception as error:
            raise explained(error, self._errors, self.name, done, revision) from error

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Without progress bars, unless they are wanted."""
        if self._progress or self._utils.are_progress_bars_disabled():
            yield
            return
        self._utils.disable_progress_bars()
        try:
            yield
        finally:
            self._utils.enable_progress_bars()


class Snapshot:
    """One commit of a repository; an `Origin`."""

    is_whole = True

    def __init__(self, repository: Repository, listing: Listing) -> None:
        """Of a repository that holds this."""
        self.name = repository.name
        self._repository, self._listing = repository, listing

    def size(self, name: str) -> int | None:
        """See `Origin`."""
        return self._listing.sizes.get(name)

    def fetch(self, parts: Sequence[Part], folder: Path) -> None:
        """See `Origin`."""
        self._repository.download([part.name for part in parts], self._listing.commit, folder)
        for part in parts:
            file = folder / part.name
            if file.is_symlink() or not file.is_file() or file.stat().st_size != self.size(part.name):
                raise MemworldError(f"{self.name} gave another {part.name} than it lists: pull again")
