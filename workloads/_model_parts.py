"""Parts of a model: what one layer does, a vision tower, the state-space part of a hybrid."""

from dataclasses import dataclass
from typing import Literal

Mixer = Literal["attention", "mla", "mamba", "none"]
Ffn = Literal["dense", "moe", "none"]
MARKS: dict[str, tuple[Mixer, Ffn]] = {
    "M": ("mamba", "none"),
    "*": ("attention", "none"),
    "-": ("none", "dense"),
    "E": ("none", "moe"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """What one layer does.

    Parameters
    ----------
    mixer : str
        What mixes tokens: ``attention``, ``mla`` (multi-head latent attention), ``mamba`` or ``none``.
    ffn : str
        ``dense``, ``moe``, ``none``.
    window : int
        Tokens that a query sees, itself included; 0: all.
    chunked : bool
        The window does not slide: the sequence is cut into chunks of that many tokens.
    cross : bool
        It also attends to the encoder.
    causal : bool
        A token sees only what came before it.
    """

    mixer: Mixer
    ffn: Ffn
    window: int = 0
    chunked: bool = False
    cross: bool = False
    causal: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Vision:
    """A vision tower in front of a decoder: a stack of encoder layers with biases, then a projector.

    Parameters
    ----------
    layers, hidden, heads, ffn : int
        Of the tower.
    patch, image : int
        Edge of a patch and of the image, pixels.
    merge : int
        Patches that the projector makes one token of.
    embedding_params, projector_params : int
        Parameters before the first layer (with class token, positions, norms) and after the last one.
    """

    layers: int
    hidden: int
    heads: int
    ffn: int
    patch: int
    image: int
    merge: int = 1
    embedding_params: int = 0
    projector_params: int = 0

    @property
    def tokens(self) -> int:
        """Return the tokens that the decoder gets of one image."""
        return (self.image // self.patch) ** 2 // self.merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba:
    """The state-space part of a hybrid, in the form of Mamba-2.

    Parameters
    ----------
    pattern : str
        What each layer is: ``M`` Mamba, ``*`` attention, ``-`` MLP, ``E`` mixture of experts.
    mtp_pattern : str
        The same for one depth of multi-token prediction; as the last layer if empty.
    state : int
        State of a channel.
    heads, head_dim : int
        Inner width = heads x head_dim.
    groups : int
        Groups of heads that share the input and output maps of the state.
    conv : int
        Taps of the convolution.

    References
    ----------
    .. [1] Dao, Gu, Transformers are SSMs, arXiv:2405.21060.
    """

    pattern: str
    state: int
    heads: int
    head_dim: int
    groups: int
    conv: int = 4
    mtp_pattern: str = ""

    @property
    def inner(self) -> int:
        """Return the width between the two products."""
        return self.heads * self.head_dim

    @property
    def convolved(self) -> int:
        """Return the channels of the convolution: the inner width and both maps of the state."""
        return self.inner + 2 * self.groups * self.state

    @property
    def layers(self) -> int:
        """Return how many layers are Mamba."""
        return self.pattern.count("M")

    @property
    def attention_layers(self) -> int:
        """Return how many layers are attention."""
        return self.pattern.count("*")

    @property
    def mlp_layers(self) -> int:
        """Return how many layers are MLPs or mixtures of experts."""
        return self.pattern.count("-") + self.pattern.count("E")


def read_pattern(pattern: str) -> tuple[LayerKind, ...]:
    """Return what each layer of a hybrid does."""
    return tuple(LayerKind(mixer=MARKS[mark][0], ffn=MARKS[mark][1]) for mark in pattern)
