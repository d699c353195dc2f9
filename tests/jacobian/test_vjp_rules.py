"""The derivatives with shared constants, each against autograd's in float64, for one cotangent and for several."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vjp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from jepa_core.jacobian import vjp_rules
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.vjp_rules import Rules

COTANGENTS = 3


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_autograd(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], cotangents: Tensor) -> list[Tensor]:
    """The products of each cotangent, stacked: by PyTorch's own formulas, one after the other."""
    leaves = [part.clone().requires_grad_() for part in inputs]
    out = function(*leaves)
    products = [torch.autograd.grad(out, leaves, cotangent, retain_graph=True) for cotangent in cotangents]
    return [torch.stack(parts) for parts in zip(*products, strict=True)]


def check(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Under the rules: the same values; the same products with one cotangent, with several, and in a backward pass."""
    before = [part.clone() for part in inputs]
    value = function(*(part.clone() for part in inputs))
    cotangents = random(COTANGENTS, *value.shape, seed=9)
    expected = by_autograd(function, inputs, cotangents)
    with Rules():
        found, products = vjp(function, *inputs)
        backward = by_autograd(function, inputs, cotangents)
    torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-12)
    for several in (vmap(products)(cotangents), backward):
        torch.testing.assert_close(list(several), expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(list(products(cotangents[0])), [part[0] for part in expected], rtol=1e-11, atol=1e-12)
    for part, was in zip(inputs, before, strict=True):
        assert torch.equal(part, was)


def rule_of(function: Callable[..., Tensor], *inputs: Tensor) -> str:
    """The name of the derivative that a function has under the rules."""
    with Rules():
        return function(*(part.clone().requires_grad_() for part in inputs)).grad_fn.name()


def operations(work: Callable[[], object]) -> list[str]:
    """The names of the tensor operations that `work` runs."""
    names = []

    class Names(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            names.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    with Names():
        work()
    return names


# --- attention --------------------------------------------------------------------------------------------------------

BATCH, HEADS, QUERIES, KEYS, WIDTH, VALUES = 2, 3, 4, 5, 6, 7
ALLOWED = random(QUERIES, KEYS, seed=4) > 0
ALLOWED[:, 0] = True  # no query is left without keys
MASKS = {
    "none": None,
    "float": random(QUERIES, KEYS, seed=4),
    "float, each head and image its own": random(BATCH, HEADS, QUERIES, KEYS, seed=4),
    "float, minus infinity": torch.zeros(QUERIES, KEYS).double().masked_fill(~ALLOWED, -torch.inf),
    "bool": ALLOWED,
    "bool, each image its own": torch.stack([ALLOWED, ALLOWED.flip(0)])[:, None],
}


def attention_inputs() -> tuple[Tensor, Tensor, Tensor]:
    return (
        random(BATCH, HEADS, QUERIES, WIDTH, seed=1),
        random(BATCH, HEADS, KEYS, WIDTH, seed=2),
        random(BATCH, HEADS, KEYS, VALUES, seed=3),
    )


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_attention_is_autograds_with_other_numbers_of_keys_and_of_values(mask, scale):
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

    check(attend, *attention_inputs())
    assert rule_of(attend, *attention_inputs()).startswith("_Attention")


@pytest.mark.parametrize("align", [2, 4, 8])
def test_keys_filled_up_with_zeros_change_nothing(align):
    q, k, v = attention_inputs()
    assert KEYS % align  # so that there is something to fill
    out, weights = vjp_rules._Attention.apply(q, k, v, None, 0.3)
    grads = random(COTANGENTS, *out.shape)
    expected = vjp_rules.attention_product(grads, q, k, v, weights, out, 0.3, 1)
    filled = operations(lambda: vjp_rules.attention_product(grads, q, k, v, weights, out, 0.3, align))
    found = vjp_rules.attention_product(grads, q, k, v, weights, out, 0.3, align)
    assert "constant_pad_nd" in filled
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_self_attention_adds_what_comes_by_queries_keys_and_values():
    check(lambda x: F.scaled_dot_product_attention(x, x, x.flip(-1)), random(BATCH, HEADS, QUERIES, WIDTH))


def test_attention_takes_its_arguments_in_their_places():
    check(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, ALLOWED, 0.0, False), *attention_inputs())


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(2, 3, 4, 6)] * 3, {"is_causal": True}),
        ([(2, 4, 4, 6), (2, 2, 4, 6), (2, 2, 4, 6)], {"enable_gqa": True}),
        ([(3, 4, 6)] * 3, {}),
        ([(2, 3, 4, 6), (1, 3, 5, 6), (1, 3, 5, 6)], {}),
    ],
    ids=["causal", "grouped queries", "no heads", "one set of keys for all images"],
)
def test_attention_of_another_kind_is_left_to_torch(shapes, options):
    inputs = [random(*shape, seed=place) for place, shape in enumerate(shapes)]

    def attend(*parts: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*parts, **options)

    cotangent = random(*attend(*inputs).shape, seed=9)
    with Rules():
        found, products = vjp(attend, *inputs)
    assert torch.equal(found, attend(*inputs))
    for part, truth in zip(products(cotangent), by_autograd(attend, tuple(inputs), cotangent[None]), strict=True):
        torch.testing.assert_close(part, truth[0])
    assert not rule_of(attend, *inputs).startswith("_Attention")


def test_products_of_attention_share_their_maps_and_refuse_any_that_differ_between_cotangents():
    q, k, v = attention_inputs()
    out, weights = vjp_rules._Attention.apply(q, k, v, None, 1.0)
    grads = random(COTANGENTS, *out.shape)
    with pytest.raises(NotImplementedError, match="only cotangents are mapped over"):
        vmap(vjp_rules._AttentionProduct.apply, (0, 0, None, None, None, None, None))(
            grads, q.expand(COTANGENTS, *q.shape), k, v, weights, out, 1.0
        )


# --- normalisation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize(
    ("weight", "bias"),
    [(random(5, seed=1), random(5, seed=2)), (random(5, seed=1), None), (None, None)],
    ids=["affine", "no bias", "plain"],
)
def test_layer_norm_is_autograds(weight, bias, shape):
    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, (5,), weight, bias, 1e-2)

    check(norm, random(*shape))
    assert rule_of(norm, random(*shape)).startswith("_LayerNorm")


def test_layer_norm_over_several_axes_is_left_to_torch():
    check(lambda x: F.layer_norm(x, (4, 5), random(4, 5, seed=1)), random(2, 4, 5))
    assert not rule_of(lambda x: F.layer_norm(x, (4, 5)), random(2, 4, 5)).startswith("_LayerNorm")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6), (4, 5, 3, 2)])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_in_eval_mode_is_autograds(affine, shape):
    mean, variance = random(5, seed=1), random(5, seed=2).exp()
    weight, bias = (random(5, seed=3), random(5, seed=4)) if affine else (None, None)
    check(lambda x: F.batch_norm(x, mean, variance, weight, bias, eps=1e-2), random(*shape))


def test_batch_norm_in_eval_mode_is_a_product_and_a_sum():
    mean, variance, x = random(5, seed=1), random(5, seed=2).exp(), random(4, 5)

    def work() -> None:
        with Rules():
            F.batch_norm(x, mean, variance)

    assert not any("batch_norm" in name for name in operations(work))


@pytest.mark.parametrize("kept", [True, False])
def test_batch_norm_by_the_batchs_own_statistics_is_left_to_torch(kept):
    statistics = (random(5, seed=1), random(5, seed=2).exp()) if kept else (None, None)
    with Rules():
        found = F.batch_norm(random(4, 5, 6), *statistics, training=True)
    torch.testing.assert_close(found.mean((0, 2)), torch.zeros(5).double(), atol=1e-12, rtol=0)


# --- elementwise functions --------------------------------------------------------------------------------------------


def name_of(function: Callable) -> str:
    return getattr(function, "__qualname__", function.__name__)


ELEMENTWISE = sorted(vjp_rules._ELEMENTWISE, key=name_of)
IN_PLACE = (F.silu, F.relu, F.relu6, F.leaky_relu, F.elu, F.mish, F.hardswish, F.hardsigmoid)


@pytest.mark.parametrize("function", ELEMENTWISE, ids=name_of)
def test_an_elementwise_function_is_autograds(function):
    x = 4 * random(3, 4, 5)
    check(function, x)
    assert rule_of(function, x).startswith("_Elementwise")


@pytest.mark.parametrize("function", IN_PLACE, ids=name_of)
def test_an_elementwise_function_in_place_leaves_its_input_as_it_was(function):
    x = 4 * random(3, 4, 5)
    value = function(x)
    cotangents = random(COTANGENTS, *x.shape, seed=9)
    (truth,) = by_autograd(function, (x,), cotangents)
    places = {F.leaky_relu: (0.01,), F.elu: (1.0,)}.get(function, ())
    for given in (lambda inner: function(inner, inplace=True), lambda inner: function(inner, *places, True)):
        before = x.clone()
        with Rules():
            found, products = vjp(given, x)
        assert torch.equal(x, before)
        torch.testing.assert_close(found, value)
        torch.testing.assert_close(vmap(products)(cotangents)[0], truth)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: F.leaky_relu(x, 0.3),
        lambda x: F.leaky_relu(x, negative_slope=0.3),
        lambda x: F.elu(x, 2.0),
        lambda x: F.elu(x, alpha=2.0),
        lambda x: F.softplus(x, 3, 5),
        lambda x: F.softplus(x, beta=3),
        lambda x: F.relu(input=x),
        lambda x: torch.sigmoid(input=x),
        lambda x: x.tanh(),
    ],
)
def test_the_options_of_an_elementwise_function_are_kept(function):
    check(function, 4 * random(3, 4, 5))
    assert rule_of(function, random(3)).startswith("_Elementwise")


def test_a_slope_is_computed_once_for_all_cotangents():
    with Rules():
        _value, products = vjp(F.gelu, random(3, 4))
    found = operations(lambda: vmap(products)(random(COTANGENTS, 3, 4)))
    assert "mul" in found
    assert not any("gelu" in name or "erf" in name for name in found)


# --- linear -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 4, 5), (2, 3, 4, 5), (2, 1, 3, 4, 5)])
@pytest.mark.parametrize("bias", [random(6, seed=2), None], ids=["bias", "no bias"])
def test_a_linear_layer_is_autograds_over_any_leading_axes(shape, bias):
    check(lambda x: F.linear(x, random(6, 5, seed=1), bias), random(*shape))


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 3, 4, 5)])
def test_a_linear_layers_products_are_one_matrix_product_for_all_cotangents(shape):
    with Rules():
        value, products = vjp(nn.Linear(5, 6).double(), random(*shape))
    found = operations(lambda: vmap(products)(random(COTANGENTS, *value.shape)))
    assert found.count("mm") == 1
    assert "bmm" not in found


def test_a_linear_layers_products_are_one_matrix_product_for_tokens_that_lie_transposed():
    with Rules():
        value, products = vjp(nn.Linear(5, 6).double(), random(2, 5, 4).mT)
    found = operations(lambda: vmap(products)(random(COTANGENTS, *value.shape)))
    assert found.count("mm") == 1
    assert "bmm" not in found


# --- all together -----------------------------------------------------------------------------------------------------


def layers_of_a_block() -> tuple[nn.Module, ...]:
    torch.manual_seed(0)
    return tuple(layer.double().requires_grad_(False) for layer in (nn.LayerNorm(6), nn.Linear(6, 18), nn.Linear(6, 6)))


def block(x: Tensor, layers: tuple[nn.Module, ...]) -> Tensor:
    norm, spread, gather = layers
    q, k, v = spread(norm(x)).unflatten(-1, (3, 2, 3)).permute(2, 0, 3, 1, 4)
    x = x + gather(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
    return x + F.silu(x) * torch.sigmoid(x)


def test_a_block_of_layers_is_autograds():
    layers = layers_of_a_block()
    check(lambda x: block(x, layers), random(2, 4, 6))


def test_outside_of_the_rules_the_functions_are_torchs_again():
    x = random(4, 5).requires_grad_()
    with Rules():
        pass
    for layer in (F.gelu, lambda inner: F.layer_norm(inner, (5,))):
        assert not layer(x).grad_fn.name().startswith("_")


# --- which way an encoder goes ----------------------------------------------------------------------------------------


def branching(images: Tensor) -> Tensor:
    factors = torch.tensor([2.0 if image.sum() > 0 else 3.0 for image in images])
    return images.flatten(1)[:, :5].sin() * factors.to(images)[:, None]


def bent_in_place(images: Tensor) -> Tensor:
    h = images.flatten(1)[:, :5] * 1
    F.relu(h, inplace=True)
    return h * h


def gains_of_the_image(images: Tensor) -> Tensor:
    return torch.stack([F.layer_norm(tokens, (12,), tokens[0].exp()).flatten() for tokens in images.flatten(2)])


def bias_of_the_image(images: Tensor) -> Tensor:
    tokens = images.flatten(2)[:, None]
    return F.scaled_dot_product_attention(tokens, tokens, tokens, attn_mask=tokens @ tokens.mT / 12).flatten(1)


def check_general(f: Callable[[Tensor], Tensor], cotangents: int) -> Engine:
    """An engine that has chosen autograd, by which the Jacobian is right at any number of cotangents at a time."""
    images = random(3, 2, 3, 4)
    engine = Engine(f, images[0])
    assert engine.backend is engine.autograd
    engine.plan = BatchPlan(1, cotangents)  # one image, since some of these look at the sum of their batch
    truth = [torch.autograd.functional.jacobian(lambda x: f(x[None])[0], image).flatten(1) for image in images]
    torch.testing.assert_close(engine.jacobian(images), torch.stack(truth), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(engine.gram(images).gram, gram_matrix(torch.stack(truth)), rtol=1e-9, atol=1e-12)
    return engine


@pytest.mark.parametrize("cotangents", [1, 10])
@pytest.mark.parametrize("f", [branching, bent_in_place])
def test_an_encoder_that_the_rules_do_not_cover_goes_the_general_way(f, cotangents):
    check_general(f, cotangents)


def wrong_slope(_ctx: object, grad: Tensor, *others: Tensor) -> tuple[Tensor | None, ...]:
    return (1.001 * grad, *[None] * (2 * len(others) - 1))


@pytest.mark.parametrize("cotangents", [1, 7])
@pytest.mark.parametrize("rule", ["_Elementwise", "_LayerNorm", "attention_product"])
def test_an_encoder_whose_product_is_wrong_goes_the_general_way(rule, cotangents, monkeypatch):
    if rule == "attention_product":
        right = vjp_rules.attention_product
        monkeypatch.setattr(vjp_rules, rule, lambda *args: tuple(1.01 * part for part in right(*args)))
    else:
        monkeypatch.setattr(getattr(vjp_rules, rule), "backward", staticmethod(wrong_slope))
    layers = layers_of_a_block()
    engine = check_general(lambda images: block(images.reshape(-1, 4, 6), layers)[:, :2].flatten(1), cotangents)
    assert "the traced product is not autograd's" in engine.why_not_traced


def mask_of_the_image(images: Tensor) -> Tensor:
    """Saturated for noise, so that a lost gradient of the mask would not show there."""
    tokens = images.flatten(2)[:, None]
    return F.scaled_dot_product_attention(tokens, tokens, tokens, attn_mask=tokens @ tokens.mT).flatten(1)


@pytest.mark.parametrize("f", [gains_of_the_image, bias_of_the_image, mask_of_the_image])
def test_weights_and_masks_that_depend_on_the_image_keep_their_gradient(f):
    images = 0.2 * random(3, 2, 3, 4)
    engine = Engine(f, images[0], budget=1 << 16)  # two images at a time: a loop over many would be traced for minutes
    truth = [torch.autograd.functional.jacobian(lambda x: f(x[None])[0], image).flatten(1) for image in images]
    assert (engine.jacobian(images) - torch.stack(truth)).norm() <= 1e-5 * torch.stack(truth).norm()
