"""Catalogs on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from xpert.catalog_files import SERVER_FILES
from xpert.errors import ReferenceNotFoundError

__all__ = ["download", "upload"]


def download(repo_id: str, *, revision: str | None = None) -> Path:
    """The folder of a catalog from the Hub, without the server's files.

    Raises:
        xpert.errors.ReferenceNotFoundError: No id of the Hub, or the Hub gave nothing (no such repository, offline).
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")):
        raise ReferenceNotFoundError(f"{repo_id}: no such folder: expected a catalog folder or a Hub id (org/name)")
    try:
        return Path(snapshot_download(repo_id, revision=revision, ignore_patterns=list(SERVER_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ReferenceNotFoundError(
            f"{repo_id}: no such folder, and the Hub gave no catalog of that id ({reason})"
        ) from None


def upload(repo_id: str, folder: Path, *, private: bool = False, token: str | None = None) -> str:
    """Upload a catalog folder as a model repository, made if it does not exist; the commit's address."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Catalog by xpert"))
