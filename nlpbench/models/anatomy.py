"""Where layers, attention projections, feed-forward parts and embeddings are, by architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Attention:
    """An attention of a layer; names are relative to the layer.

    Attributes:
        module: holds the attributes of the heads.
        query, key, value, output: projections. The first three split their outputs among the heads,
            the last its inputs. Where one matrix holds all of query, key and value, side by side,
            the three names are alike.
        heads: the attribute with the number of heads; empty where the module works it out itself.
        width: attributes with heads x head size, or query's share of a joint matrix.
        head_size: the attribute with the size of a head.
        groups: the attribute with the number of query heads that share a key and a value head.
        prunable: whether whole heads can be taken out: not where heads share keys and values, or
            attention has parameters of its own a head that other modules read.
    """

    module: str
    query: str
    key: str
    value: str
    output: str
    heads: str
    width: tuple[str, ...] = ()
    head_size: str = "head_dim"
    groups: str = ""
    prunable: bool = True

    @property
    def fused(self) -> bool:
        return self.query == self.key


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward part of a layer; names are relative to the layer.

    Attributes:
        inputs: matrices whose outputs are the neurons: one, or one and its gate.
        output: the matrix that reads the neurons.
        fused: whether the one matrix of `inputs` holds gate and values, one after the other.
        attributes: names of modules with their attribute that holds the number of neurons.
    """

    inputs: tuple[str, ...]
    output: str
    fused: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """A pile of layers, which an encoder-decoder has two of.

    Attributes:
        layers: the list of modules, below the base model.
        depth: the key of the configuration that counts them.
        neurons: the key of the configuration with the width of all feed-forward parts.
        shared: whether all layers have the weights of the first (ALBERT).
    """

    layers: str
    depth: str
    neurons: str
    attentions: tuple[Attention, ...]
    feed_forward: FeedForward
    shared: bool = False


@dataclass(frozen=True)
class Anatomy:
    """The stacks of an architecture, the encoder first."""

    model_type: str
    stacks: tuple[Stack, ...]

    @property
    def is_encoder_decoder(self) -> bool:
        return len(self.stacks) > 1


@dataclass(frozen=True)
class LayerParts:
    """A layer of a model at hand.

    Attributes:
        name: of the module in the model.
        number: in its stack, from 0.
    """

    name: str
    module: nn.Module
    stack: Stack
    number: int


_BERT = Stack(
    layers="encoder.layer",
    depth="num_hidden_layers",
    neurons="intermediate_size",
    attentions=(
        Attention(
            module="attention.self",
            query="attention.self.query",
            key="attention.self.key",
            value="attention.self.value",
            output="attention.output.dense",
            heads="num_attention_heads",
            width=("all_head_size",),
            head_size="attention_head_size",
        ),
    ),
    feed_forward=FeedForward(("intermediate.dense",), "output.dense"),
)
_DEBERTA = replace(
    _BERT,
    attentions=(
        replace(
            _BERT.attentions[0],
            query="attention.self.query_proj",
            key="attention.self.key_proj",
            value="attention.self.value_proj",
        ),
    ),
)
_DISTILBERT = Stack(
    layers="transformer.layer",
    depth="n_layers",
    neurons="hidden_dim",
    attentions=(
        Attention(
            module="attention",
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            output="attention.out_lin",
            heads="n_heads",
            width=("dim",),
            head_size="attention_head_size",
        ),
    ),
    feed_forward=FeedForward(("ffn.lin1",), "ffn.lin2"),
)
_ALBERT = Stack(
    layers="encoder.albert_layer_groups",
    depth="num_hidden_layers",
    neurons="intermediate_size",
    attentions=(
        Attention(
            module="albert_layers.0.attention",
            query="albert_layers.0.attention.query",
            key="albert_layers.0.attention.key",
            value="albert_layers.0.attention.value",
            output="albert_layers.0.attention.dense",
            heads="num_attention_heads",
            width=("all_head_size",),
            head_size="attention_head_size",
        ),
    ),
    feed_forward=FeedForward(("albert_layers.0.ffn",), "albert_layers.0.ffn_output"),
    shared=True,
)
_XLNET = Stack(
    layers="layer",
    depth="n_layer",
    neurons="d_inner",
    attentions=(
        # Not Linear: q, k, v, o and r are parameters of (hidden, heads, head size).
        Attention(
            module="rel_attn",
            query="rel_attn.q",
            key="rel_attn.k",
            value="rel_attn.v",
            output="rel_attn.o",
            heads="n_head",
            head_size="d_head",
            prunable=False,
        ),
    ),
    feed_forward=FeedForward(("ff.layer_1",), "ff.layer_2"),
)
_MODERNBERT = Stack(
    layers="layers",
    depth="num_hidden_layers",
    neurons="intermediate_size",
    attentions=(
        Attention(
            module="attn",
            query="attn.Wqkv",
            key="attn.Wqkv",
            value="attn.Wqkv",
            output="attn.Wo",
            heads="",
            head_size="head_dim",
        ),
    ),
    feed_forward=FeedForward(("mlp.Wi",), "mlp.Wo", fused=True),
)
_GPT2 = Stack(
    layers="h",
    depth="n_layer",
    neurons="n_inner",
    attentions=(
        Attention(
            module="attn",
            query="attn.c_attn",
            key="attn.c_attn",
            value="attn.c_attn",
            output="attn.c_proj",
            heads="num_heads",
            width=("split_size",),
        ),
    ),
    feed_forward=FeedForward(("mlp.c_fc",), "mlp.c_proj"),
)
_LLAMA = Stack(
    layers="layers",
    depth="num_hidden_layers",
    neurons="intermediate_size",
    attentions=(
        Attention(
            module="self_attn",
            query="self_attn.q_proj",
            key="self_attn.k_proj",
            value="self_attn.v_proj",
            output="self_attn.o_proj",
            heads="",
            groups="num_key_value_groups",
        ),
    ),
    feed_forward=FeedForward(
        ("mlp.up_proj", "mlp.gate_proj"), "mlp.down_proj", attributes={"mlp": "intermediate_size"}
    ),
)


def _t5_attention(place: str) -> Attention:
    return Attention(
        module=place,
        query=f"{place}.q",
        key=f"{place}.k",
        value=f"{place}.v",
        output=f"{place}.o",
        heads="n_heads",
        width=("inner_dim",),
        head_size="key_value_proj_dim",
    )


def _t5(side: str, depth: str, cross: bool, gated: bool) -> Stack:
    attentions = [_t5_attention("layer.0.SelfAttention")]
    if cross:
        attentions.append(_t5_attention("layer.1.EncDecAttention"))
    place = f"layer.{len(attentions)}.DenseReluDense"
    inputs = (f"{place}.wi_1", f"{place}.wi_0") if gated else (f"{place}.wi",)
    return Stack(
        layers=f"{side}.block",
        depth=depth,
        neurons="d_ff",
        attentions=tuple(attentions),
        feed_forward=FeedForward(inputs, f"{place}.wo"),
    )


def _bart_attention(place: str) -> Attention:
    return Attention(
        module=place,
        query=f"{place}.q_proj",
        key=f"{place}.k_proj",
        value=f"{place}.v_proj",
        output=f"{place}.out_proj",
        heads="num_heads",
        width=("embed_dim",),
    )


def _bart(side: str, cross: bool) -> Stack:
    places = ["self_attn", *(["encoder_attn"] if cross else [])]
    return Stack(
        layers=f"{side}.layers",
        depth=f"{side}_layers",
        neurons=f"{side}_ffn_dim",
        attentions=tuple(map(_bart_attention, places)),
        feed_forward=FeedForward(("fc1",), "fc2"),
    )


_STACKS: dict[str, tuple[Stack, ...]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra", "camembert"), (_BERT,)),
    "deberta-v2": (_DEBERTA,),
    "distilbert": (_DISTILBERT,),
    "albert": (_ALBERT,),
    "xlnet": (_XLNET,),
    "modernbert": (_MODERNBERT,),
    "gpt2": (_GPT2,),
    **dict.fromkeys(("llama", "mistral", "qwen2"), (_LLAMA,)),
    **dict.fromkeys(
        ("bart", "mbart", "pegasus", "marian"), (_bart("encoder", False), _bart("decoder", True))
    ),
}
KNOWN = (*_STACKS, "t5", "mt5")


def of(configuration: Any) -> Anatomy:
    """The anatomy of an architecture, from a transformers configuration.

    Raises:
        UserError: nobody has described the architecture here.
    """
    model_type = configuration.model_type
    if model_type in ("t5", "mt5"):
        gated = bool(getattr(configuration, "is_gated_act", False))
        return Anatomy(
            model_type,
            (
                _t5("encoder", "num_layers", False, gated),
                _t5("decoder", "num_decoder_layers", True, gated),
            ),
        )
    if model_type not in _STACKS:
        raise UserError(
            f"it is not known where the parts of a {model_type} model are; known are "
            f"{', '.join(sorted(KNOWN))}"
        )
    return Anatomy(model_type, _STACKS[model_type])


def stacks(model: Any) -> list[Stack]:
    """The stacks that a model has: a decoder taken out of an encoder-decoder has but its own.

    Raises:
        UserError: as `of`.
    """
    found = []
    for stack in of(model.config).stacks:
        try:
            model.base_model.get_submodule(stack.layers)
        except AttributeError:  # BartForCausalLM
            continue
        found.append(stack)
    return found


def layers(model: Any) -> list[LayerParts]:
    """The layers of a model, those of the encoder first, from the bottom up.

    Layers with common weights stand there once.

    Raises:
        UserError: as `of`.
    """
    base = model.base_model
    prefix = next(name for name, module in model.named_modules() if module is base)
    found = []
    for stack in stacks(model):
        modules: Any = base.get_submodule(stack.layers)
        for number, module in enumerate(modules):
            name = ".".join(filter(None, (prefix, stack.layers, str(number))))
            found.append(LayerParts(name, module, stack, number))
    return found
