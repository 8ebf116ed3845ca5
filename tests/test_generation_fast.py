"""The fast way gives the plain model's tokens, and never meets stale weights."""

import functools
import types

import pytest
import torch
from doubles import CONTEXT, END, VOCABULARY, random_ids, theirs, tiny_gpt_neo
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoMLP

from fmcourse.generation import Beam, Greedy, Sample, fast, generate, generate_batch, stream
from fmcourse.generation.decoding import begin

ROUNDING = 2e-5  # fp32: 24 bits, logits below 100, sums of a few dozen terms in another order
WINDOW = 8  # of the doubles' local layer
PROMPTS = [random_ids(length, length).tolist() for length in (5, 1, 14, 9)]


def plain(model):
    """Make a model one that is not decoded the fast way."""
    model.register_forward_hook(lambda *call: None)
    return model


def tiny_llama(seed=0, end=END, **settings):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 6, "num_key_value_heads": 2, "initializer_range": 0.3}
    sizes |= {"max_position_embeddings": CONTEXT, "eos_token_id": end}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **(sizes | settings))).eval()


MAKERS = pytest.mark.parametrize("make", [tiny_gpt_neo, tiny_llama])


def is_fast(model):
    return isinstance(begin(model, [random_ids(5)], 1, 9), fast.FastSession)


@MAKERS
@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, WINDOW + 1, 30])
def test_greedy_equals_generate_of_transformers(make, length):
    for seed in range(4):
        model, prompt = make(seed), random_ids(length, seed)
        new = CONTEXT - length  # to the end of the context, the window passed several times
        assert is_fast(model)
        assert torch.equal(
            generate(model, prompt, Greedy(), new), theirs(model, prompt, max_new_tokens=new)
        )


@MAKERS
@pytest.mark.parametrize("width, penalty", [(2, 0.5), (3, 1.0), (5, 2.0)])
def test_beam_search_equals_generate_the_fast_way_and_the_plain(make, width, penalty):
    for seed in range(3):
        options = {"num_beams": width, "length_penalty": penalty, "num_return_sequences": width}
        wanted = theirs(make(seed), PROMPTS[0], max_new_tokens=18, **options)
        for model in (make(seed), plain(make(seed))):
            assert torch.equal(generate(model, PROMPTS[0], Beam(width, penalty), 18, width), wanted)
        best = generate(make(seed), PROMPTS[0], Beam(width, penalty), 18)
        assert torch.equal(best[0], wanted[0, : best.shape[1]])


def of_gpt_neo(activation):
    config = tiny_gpt_neo().config
    config.activation_function = activation
    return type(tiny_gpt_neo())(config).eval()


MODELS = {
    **{name: functools.partial(of_gpt_neo, name) for name in ("gelu_new", "relu", "gelu")},
    "llama": tiny_llama,
    "llama, one key for each head": functools.partial(tiny_llama, num_key_value_heads=6),
}


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_a_full_pass_at_every_step(name, copied, monkeypatch):
    if not copied:
        monkeypatch.setattr(fast, "COPY_AT_MOST", 0)
    rows, model, prompt = 3, MODELS[name](), random_ids(5)
    for number in model.parameters():
        torch.nn.init.normal_(number, std=0.3)  # biases too, which a fresh model has at 0
    new = torch.stack([random_ids(30, seed) for seed in range(rows)])
    with torch.inference_mode():
        full = model(torch.cat([prompt.repeat(rows, 1), new], dim=1)).logits
        session = begin(model, [prompt], rows, 31)
        assert isinstance(session, fast.FastSession)
        for place in range(30):
            assert torch.allclose(session.logits, full[:, 4 + place], atol=ROUNDING)
            session.step(new[:, place])
        assert torch.allclose(session.logits, full[:, -1], atol=ROUNDING)


def trained(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    ids = random_ids(12)[None]
    model(ids, labels=ids).loss.backward()
    optimizer.step()


def edited_in_place(model):
    model.lm_head.weight.data.copy_(model.lm_head.weight.data.flip(0))


def hooked(model):
    model.lm_head.register_forward_hook(lambda module, given, output: -output)


def moved(model):
    model.double().float()
    model.lm_head.weight.data = model.lm_head.weight.data.flip(0)


def hooked_before(model):
    model.lm_head.register_forward_pre_hook(lambda module, given: (given[0].flip(-1),))


def patched(model):
    mlp = model.transformer.h[0].mlp
    mlp.forward = types.MethodType(lambda self, hidden: -GPTNeoMLP.forward(self, hidden), mlp)


def replaced(model):
    class Halved(GPTNeoMLP):
        def forward(self, hidden):
            return super().forward(hidden) / 2

    model.transformer.h[0].mlp.__class__ = Halved


def with_a_bias(model):
    head = torch.nn.Linear(16, VOCABULARY)
    torch.nn.init.normal_(head.bias, std=9.0)
    model.lm_head = head


def without_a_layer(model):
    del model.transformer.h[1]
    model.config.num_layers = 1


GPT_NEO = [trained, edited_in_place, moved, hooked, hooked_before, patched, replaced]
GPT_NEO += [with_a_bias, without_a_layer]
CHANGES = [(tiny_gpt_neo, change) for change in GPT_NEO]
CHANGES += [(tiny_llama, change) for change in (trained, hooked, moved)]


@pytest.mark.parametrize("make, change", CHANGES)
def test_a_model_that_changed_is_decoded_as_it_is(make, change):
    model = make(end=None)
    before = generate(model, PROMPTS[0], Greedy(), 40)
    change(model)
    after = generate(model, PROMPTS[0], Greedy(), 40)
    assert torch.equal(after, theirs(model, PROMPTS[0], max_new_tokens=40))
    assert not torch.equal(after, before)  # so the change shows


@pytest.mark.parametrize(
    "unusual",
    [
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
        {"attention_bias": True},
        {"mlp_bias": True},
    ],
)
def test_an_unusual_llama_goes_its_own_way(unusual):
    model = tiny_llama(**unusual)
    assert is_fast(tiny_llama()) and not is_fast(model)
    rows = generate(model, PROMPTS[0], Greedy(), 20)
    assert torch.equal(rows, theirs(model, PROMPTS[0], max_new_tokens=20))


def test_mixed_activations_dropout_and_a_patched_class_are_met_too(monkeypatch):
    model, mixed = tiny_gpt_neo(dropout=0.5), tiny_gpt_neo()
    mixed.transformer.h[1].mlp.act = torch.nn.ReLU()
    assert is_fast(model) and not is_fast(mixed) and not is_fast(model.train())
    model.eval()
    half = GPTNeoMLP.forward
    monkeypatch.setattr(GPTNeoMLP, "forward", lambda self, hidden: half(self, hidden) / 2)
    assert not is_fast(model)


def test_a_batch_gives_what_each_prompt_gives_alone():
    lengths = set()
    for model in (*map(tiny_gpt_neo, range(3)), tiny_llama()):
        for prompts in (PROMPTS, [random_ids(6, seed) for seed in range(5)]):
            for rows, prompt in zip(generate_batch(model, prompts, Greedy(), 40), prompts):
                assert torch.equal(rows, generate(model, prompt, Greedy(), 40))
                lengths.add(rows.shape[1] - len(prompt))
    assert 40 in lengths and min(lengths) < 40  # texts that ended early, and texts that did not
    alone = generate(model, PROMPTS[1], Beam(2), 9)
    assert torch.equal(generate_batch(model, PROMPTS, Beam(2), 9)[1], alone)


def test_samples_in_a_batch_share_their_prompt():
    model = tiny_gpt_neo(end=None)
    found, none = (generate_batch(model, PROMPTS, Sample(), new, 3, 1) for new in (12, 0))
    for prompt, rows, kept in zip(PROMPTS, found, none):
        assert rows.shape == (3, len(prompt) + 12) and len(rows.unique(dim=0)) == 3
        assert kept.tolist() == rows[:, : len(prompt)].tolist() == [prompt] * 3


def test_a_stream_may_be_trained_beside():
    model = tiny_gpt_neo(end=None)
    for _ in stream(model, PROMPTS[0], Greedy(), 3):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        trained(model)
