"""Runs the course's full-size path on a GPU, with random weights, and prints a table to send.

It installs and downloads nothing, and takes less than 8 minutes. Without a GPU the same steps run
on small models in less than a minute. The exit code is 0 when every step is right.

    python -m benchmarks.gpu_check
"""

import contextlib
import copy
import functools
import io
import itertools
import os
import platform
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
import transformers
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import CLIPConfig, CLIPModel

import fmcourse

# Before the package, so that it can be imported where only its largest needs are installed.
from benchmarks import missing
from benchmarks.common import random_gpt_neo, timed
from fmcourse import clip, generation, models, runtime

missing.remove()

GIB = 2**30
NAMES = ("a red square", "a blue circle", "a dog", "a cat")
BATCH = 32
# Weights may differ by this share of what the training changed: a GPU adds up in no fixed order.
TOLERANCE = 0.05
# No machine of ours has this device: a model that is moved there fails as on a GPU that is full.
NOWHERE = "vulkan"


@dataclass
class Job:
    """What the steps share; each part is made when a step first asks for it.

    On a GPU the sizes are those of CLIP ViT-B/32 and GPT-Neo 1.3B.
    """

    device: str
    folder: Path

    @functools.cached_property
    def small(self):
        return self.device == "cpu"

    @functools.cached_property
    def clip(self):
        vision, text = {}, {"eos_token_id": self.processor.tokenizer.sep_token_id}
        if self.small:
            tower = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
            tower["num_attention_heads"] = 2
            vision, text = tower | {"image_size": 64}, tower | text | {"vocab_size": 2048}
        torch.manual_seed(0)
        with torch.device(self.device):
            return CLIPModel(CLIPConfig(vision_config=vision, text_config=text)).eval()

    @functools.cached_property
    def processor(self):
        """The bundled CLIP's; pictures are given as pixels."""
        return models.load_clip("emoji-clip")[1]

    @functools.cached_property
    def pixels(self):
        side = self.clip.config.vision_config.image_size
        generator = torch.Generator().manual_seed(0)
        return torch.rand(2 * BATCH, 3, side, side, generator=generator)

    @functools.cached_property
    def gpt_neo(self):
        """The folder of a GPT-Neo in half precision, in which large models are published."""
        folder = self.folder / "gpt-neo"
        size = (2048, 32, 2, 2) if self.small else (50257, 2048, 24, 16)
        with torch.device(self.device):
            model = random_gpt_neo(*size, positions=2048)
        model.bfloat16().save_pretrained(folder)
        models.load_gpt_neo("ladder-small")[1].save_pretrained(folder)
        return folder

    @functools.cached_property
    def trained(self):
        """A fine-tuning that nothing interrupts."""
        return self.train()

    def train(self, checkpoint=None, stop=0, act=print):
        """Fine-tune; `act` happens inside the call number `stop` of a module.

        Returns:
            The weights as one vector on the CPU, the run, and how many calls there were.
        """
        numbers = itertools.count(1)

        def count(module, inputs):
            if next(numbers) == stop:
                act()

        hook = register_module_forward_pre_hook(count)
        try:
            classifier, run = clip.fine_tune(
                self.clip,
                self.processor,
                self.pixels,
                torch.arange(len(self.pixels)) % len(NAMES),
                self.head,
                steps=6 if self.small else 20,
                batch_size=BATCH,
                lr=runtime.FULL.clip_lr,
                accumulate=2,
                precision=runtime.mixed_precision(self.clip) or "bf16",
                checkpoint=checkpoint,
                progress=False,
            )
        finally:
            hook.remove()
        place = next(classifier.parameters()).device.type
        assert place == self.device, f"trained on {place}"
        return flat(classifier), run, next(numbers) - 1

    @functools.cached_property
    def head(self):
        return clip.random_head(len(NAMES), self.clip.config.projection_dim)


def flat(model):
    """Return all weights as one vector on the CPU."""
    return torch.cat([weight.detach().reshape(-1).cpu() for weight in model.parameters()])


def embedded(job):
    """CLIP's embeddings are those of a copy on the CPU."""
    here = copy.deepcopy(job.clip).cpu()
    cosines = []
    for embed, inputs in ((clip.embed_images, job.pixels[:8]), (clip.embed_texts, NAMES)):
        there = embed(job.clip, job.processor, inputs)
        cosines.append((there * embed(here, job.processor, inputs)).sum(dim=1).min().item())
    assert min(cosines) > 0.999, f"cosines with the CPU's embeddings: {cosines}"
    return f"cosines with those of the CPU at least {min(cosines):.5f}"


def filled(job):
    """A fine-tuning that runs out of memory half-way says so, and is resumed."""
    path = job.folder / "run.pt"
    whole, _, calls = job.trained
    taken = []
    # A CPU refuses so much at once.
    piece = 2**60 if job.small else GIB

    def fill():
        while True:
            taken.append(torch.empty(piece, dtype=torch.uint8, device=job.device))

    try:
        job.train(path, calls // 2, fill)
        raise AssertionError("the training went on without memory")
    except RuntimeError as error:
        assert "memory" in str(error), f"the error does not speak of memory: {error}"
    taken.clear()
    release()
    weights, run, _ = job.train(path)
    assert 0 < run.resumed_from < run.steps, f"resumed at step {run.resumed_from}"
    change = flat(clip.build_classifier(job.clip, job.head)) - whole
    apart = ((weights - whole).norm() / change.norm()).item()
    assert apart <= TOLERANCE, f"weights differ by {apart:.0%} of the change"
    return f"resumed at step {run.resumed_from}; weights differ by {apart:.2%} of the change"


def decoded(job, dtype):
    """A GPT-Neo of a folder writes what `model.generate` writes, greedily."""
    model = models.load_gpt_neo(job.gpt_neo)[0].to(dtype)
    assert model.device.type == job.device, f"the model is on {model.device}"
    prompt = torch.arange(1, 21, device=job.device)[None]
    new = 30 if job.small else 100

    def ours():
        return generation.generate(model, prompt, generation.Greedy(), new).cpu()

    ones = torch.ones_like(prompt)
    theirs = model.generate(prompt, attention_mask=ones, do_sample=False, max_new_tokens=new)
    apart = (ours() != theirs.cpu()).nonzero()
    if len(apart):
        # Texts may part where two tokens are equally likely but for rounding, and only there.
        with torch.inference_mode():
            logits = model(theirs[:, : apart[0, 1]]).logits[0, -1].float()
        first, second = logits.topk(2).values.tolist()
        tie = first - second <= 4 * torch.finfo(dtype).eps * abs(first)
        assert tie, f"other tokens than model.generate's from index {apart[0, 1]}"
    # On the device a wrong id would end the process.
    for wrong in (model.config.vocab_size, -1):
        with contextlib.suppress(ValueError):
            generation.perplexity(model, [1, wrong])
            raise AssertionError(f"the id {wrong} was not refused")
    return f"the tokens of model.generate, {new / timed(ours)():.0f} a second"


def too_large(job):
    """A model that the GPU cannot take goes to the CPU, and a sentence says so."""
    folder, said, taken = job.gpt_neo, io.StringIO(), []
    device = runtime.device()
    if job.small:
        device = NOWHERE
    else:
        room = torch.cuda.mem_get_info()[0] - GIB // 4
        taken.append(torch.empty(room, dtype=torch.uint8, device=device))
    with mock.patch.object(runtime, "device", lambda: device), contextlib.redirect_stdout(said):
        model, _ = models.load_gpt_neo(folder)
    taken.clear()
    assert model.device.type == "cpu", f"the model is on {model.device}"
    assert "on the CPU" in said.getvalue(), "no sentence says that the CPU is used"
    return "went on with it on the CPU, and said so"


STEPS = {
    "CLIP embeds": embedded,
    "memory fills up during training": filled,
    "GPT-Neo decodes in fp32": functools.partial(decoded, dtype=torch.float32),
    "GPT-Neo decodes in bf16": functools.partial(decoded, dtype=torch.bfloat16),
    "a model does not fit": too_large,
}


def release():
    """Give back the memory that torch keeps, and measure its peak from here on."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def main():
    """Run every step, print the table, and return 1 if any failed."""
    gpu = torch.cuda.is_available()
    os.environ["FMCOURSE_PROFILE"] = "full" if gpu else "tiny"
    if not gpu:
        torch.set_num_threads(1)  # small models lose by a second one
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"fmcourse {fmcourse.__version__}, torch {torch.__version__},", end=" ")
    print(f"transformers {transformers.__version__}, Python {platform.python_version()}")
    print(torch.cuda.get_device_name() if gpu else "no GPU: the same steps on small models")
    print(f"\n{'step':<35} {'':<6} {'seconds':>7} {'peak GiB':>8}")
    failed = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        job = Job("cuda" if gpu else "cpu", Path(folder))
        for name, step in STEPS.items():
            release()
            started = time.perf_counter()
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    result = step(job)
                verdict = "right"
            except Exception as error:  # whatever it is, the next step still runs
                traceback.print_exc()
                verdict, result = "WRONG", runtime.first_line(error)
                failed += 1
            seconds = time.perf_counter() - started
            peak = f"{torch.cuda.max_memory_allocated() / GIB:8.1f}" if gpu else f"{'-':>8}"
            print(f"{name:<35} {verdict:<6} {seconds:7.1f} {peak}  {result}", flush=True)
    print(f"\n{len(STEPS) - failed} of {len(STEPS)} steps are right.")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
