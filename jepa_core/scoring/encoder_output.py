"""One output of an encoder: what a score is a score of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jepa_core.encoders.spec import EncoderSpec
from jepa_core.jacobian.spectrum import Rank
from jepa_core.scoring import rank
from jepa_core.store.records import ResultConfig

if TYPE_CHECKING:  # torch takes seconds to import; looking scores up must not pay for it
    from jepa_core.encoders.encoder import Encoder


@dataclass(frozen=True)
class EncoderOutput:
    """The output `name` of an encoder, which may be loaded (`encoder`) or not. `of` makes one of either."""

    spec: EncoderSpec
    name: str
    encoder: "Encoder | None" = None

    @classmethod
    def of(cls, source: "Encoder | EncoderSpec", name: str | None = None) -> "EncoderOutput":
        """An output of an encoder, its default for None; `UnknownName` for one that it lacks."""
        if isinstance(source, EncoderSpec):
            return cls(source, source.check_output(name))
        return cls(source.spec, source.spec.check_output(name), source)

    def __str__(self) -> str:
        return f"{self.spec.name}, {self.name}"

    @property
    def k(self) -> int:
        """How many numbers its embedding has."""
        return self.spec.outputs[self.name]

    @property
    def loaded(self) -> "Encoder":
        """The encoder of an output that something is computed with."""
        assert self.encoder is not None
        return self.encoder

    def config(self, precision: str = "fp32") -> ResultConfig:
        """The config of its exact results. Of an encoder that is not loaded it is read off the spec."""
        if self.encoder is None:
            return ResultConfig(self.spec.weights_digest, self.spec.transform, self.name, precision=precision)
        return ResultConfig(self.encoder.weights, self.encoder.transform, self.name, precision=precision)

    @property
    def space(self) -> str:
        """The key of its embedding space."""
        return self.config().space

    @property
    def rank(self) -> Rank:
        """The one rank that all of its scores are summed over (`jepa_core.scoring.rank`)."""
        return rank.resolve(self.spec, self.name, self.space, self.encoder)
