"""What calibration images show of the rank that scores are summed over: recorded in the store, and said once."""

from jepa_core.jacobian import spectrum
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.results import Store


def confirm(store: Store, output: EncoderOutput, dataset: str | None = None) -> str:
    """Record what the first full scores of a dataset show of the rank that is used; what differs as a sentence, once.

    A store of an earlier version may have another rank on record, which its scores were summed over. It counts as what
    was found, and is said once; for no dataset it is all that is looked for.
    """
    before, used = store.rank(output.space), output.rank
    if before is not None:
        if before.rank == used.rank or spectrum.is_finding(before):
            return ""
        shown = spectrum.finding(before, used)
    else:
        if dataset is None:
            return ""
        spectra = store.rows(output.config(), dataset, first=spectrum.CALIBRATION_IMAGES).spectra
        if len(spectra) < spectrum.CALIBRATION_IMAGES:
            return ""
        shown = spectrum.observed_rank(used, spectra)
    store.put_rank(output.space, shown, over=True)
    return finding(store, output)


def finding(store: Store, output: EncoderOutput) -> str:
    """What the store has on record that differs from the rank that is used, as a sentence; "" for nothing."""
    shown, used = store.rank(output.space), output.rank
    return "" if shown is None or shown.rank == used.rank else f"Rank: {spectrum.finding(shown, used).reason}."
