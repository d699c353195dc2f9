"""Scores as a dataset of the Hugging Face hub: the Parquet file and a card, uploaded with the person's own log-in.

No picture is uploaded, and of a folder no path above it.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pandas as pd
from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, validate_repo_id

from jepa_core import files
from jepa_core.analysis import parquet_export
from jepa_core.config import check_owner
from jepa_core.datasets.registry import FOLDER_PREFIX
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.results import Store

FILE = "scores.parquet"
TAG = "jepa-score"
"""A tag by which a card is known to be ours, so that nobody else's is written over."""

_NO_NAME = "{!r} was given where OWNER/NAME, a dataset of the hub, is accepted."


def check_name(repository: str) -> str:
    """The name if it is OWNER/NAME as the hub has them, else `JepaError`."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise JepaError(_NO_NAME.format(repository)) from error
    if repository.count("/") != 1:  # the hub itself takes a name without an owner, too
        raise JepaError(_NO_NAME.format(repository))
    return repository


def check_may_push() -> None:
    """Raise `JepaError` where nobody is logged in, and `NotAllowed` on a server that has visitors."""
    check_owner("upload scores to the Hugging Face hub")
    if get_token() is None:
        raise JepaError(
            "Scores were to be uploaded, but nobody is logged in to the Hugging Face hub; a token that may write is "
            "accepted; run 'hf auth login'."
        )


def push(
    store: Store,
    output: EncoderOutput,
    dataset: DatasetSpec,
    table: pd.DataFrame,
    repository: str,
    precision: str = "fp32",
) -> str:
    """Upload a score table as the dataset OWNER/NAME, which is made (private) if it is not there; returns its address.

    Raises `JepaError` without a log-in, without a network, without the right to write there, and for a dataset whose
    card is not of such scores.
    """
    check_name(repository)
    check_may_push()
    # Where the folder lies on this machine is nobody's business.
    called = dataset.title if dataset.name.startswith(FOLDER_PREFIX) else dataset.name
    card = _card(output, dataset, called, table, precision)
    with files.temporary_folder() as folder:
        path = folder / FILE
        parquet_export.write_parquet(store, output, table.assign(dataset=called), path, precision)
        with _in_words(repository):
            return _upload(repository, path, card)


def _upload(repository: str, path: Path, card: str) -> str:
    api = HfApi(endpoint=constants.ENDPOINT)
    address = str(api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True))
    _refuse_other_cards(repository)
    api.create_commit(
        repository,
        [CommitOperationAdd(FILE, str(path)), CommitOperationAdd("README.md", card.encode())],
        commit_message="Scores, percentiles and embeddings",
        repo_type="dataset",
    )
    return address


def _refuse_other_cards(repository: str) -> None:
    url = hf_hub_url(repository, "README.md", repo_type="dataset")
    answer = get_session().get(url, headers=build_hf_headers(), follow_redirects=True)
    if answer.status_code == 404:
        return
    hf_raise_for_status(answer)
    if f"- {TAG}\n" not in answer.text:
        raise JepaError(
            f"The dataset {repository} has a card that was not written here, so it is left as it is; a name that is "
            f"free, or a dataset with the tag {TAG}, is accepted; give another name."
        )


def _card(output: EncoderOutput, dataset: DatasetSpec, called: str, table: pd.DataFrame, precision: str) -> str:
    title = f"JEPA-SCOREs of {called} by {output.spec.name}"
    estimated = int(table["estimated"].sum())
    made = f"{estimated} of them estimates with a 90 % interval" if estimated else "all of them full"
    # Quoted as JSON, which YAML reads: a folder may be called anything.
    return f"""---
pretty_name: {json.dumps(title)}
tags:
- {TAG}
configs:
- config_name: default
  data_files: {FILE}
---
# {title}

How likely an encoder finds each of {len(table)} images: scores ({made}), percentiles among them, and embeddings.

The JEPA-SCORE is the sum of the logarithms of the singular values of the encoder's Jacobian at the image
([Balestriero, Ballas, Rabbat, LeCun, 2025](https://arxiv.org/abs/2510.05949)); high is likely. Scores of two encoders
are not on one scale.

| | |
|---|---|
| encoder | {output.spec.name}, output {output.name} ({output.k} numbers), weights {output.config().weights[:16]} |
| licence of the encoder | {output.spec.licence} |
| images | {called} |
| terms of the images | {dataset.licence}; no picture is in this dataset |
| precision | {precision} |

Columns: `name` and `digest` (SHA-256 of the file) say which image, `label` its class; `jepa_score`, with `low` and
`high`, the score and its interval; `percentile` (0 to 100); `estimated`; `embedding`.

Made with JEPA-SCORE Explorer.
"""


@contextmanager
def _in_words(repository: str) -> Iterator[None]:
    """What can go wrong on the way, as one sentence."""
    try:
        yield
    except (OfflineModeIsEnabled, httpx2.TransportError) as error:
        raise JepaError(
            f"The hub at {constants.ENDPOINT} cannot be reached, so {repository} was not written; a machine with a "
            "network is accepted; connect it (and unset HF_HUB_OFFLINE), then do this again."
        ) from error
    except (ValueError, RuntimeError) as error:  # an answer that is none, a large file on its way to where those go
        raise JepaError(
            f"The upload to {repository} at {constants.ENDPOINT} did not go through "
            f"({str(error).partition(chr(10))[0]}); a hub that can be reached and speaks its protocol is accepted; try "
            "again later."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403, 404):
            raise JepaError(
                f"The hub refused to have {repository} written ({status}); a token with the right to write there is "
                "accepted; check the name, or run 'hf auth login' with such a token."
            ) from error
        raise JepaError(
            f"The hub answered {status} when {repository} was to be written; an answer of 200 is accepted; try again "
            "later."
        ) from error
