"""A LLaMA model of random weights for tests: 0.4 MB, byte-level BPE, ChatML template, printable output.

usage: python tests/llamacpp/tiny_gguf.py OUT.gguf

Its text means nothing, but tokens, context, templates, grammars and times are those of any model. It never ends
by itself: it goes on to max_tokens, a stop sequence, or the end of a grammar.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, HEADS, KV_HEADS, CONTEXT = 2, 64, 4, 2, 2048
FEED_FORWARD, HEAD_WIDTH = WIDTH * 2, WIDTH // HEADS
MERGES = ["t h", "th e", "Ġ the", "i n", "e r", "o n", "a n", "an d", "Ġ a", "Ġ i", "h e", "l l", "he ll", "hell o"]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_signs() -> list[str]:
    """GPT-2's printable sign for each byte."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in own else chr(next(others)) for byte in range(256)]


SIGNS = byte_signs()
WORDS = list(dict.fromkeys([*SIGNS, *(merge.replace(" ", "") for merge in MERGES)]))
TOKENS = [*WORDS, *SPECIAL]
PRINTABLE = {*SIGNS[32:127], *WORDS[256:]}


def write(path: Path | str, seed: int = 0) -> None:
    """Write the model; the same seed gives the same bytes."""
    writer = gguf.GGUFWriter(str(path), "llama")
    _describe(writer)
    _tokenizer(writer)
    _weights(writer, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny-random-llama")
    writer.add_description("random weights, for tests only")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(TOKENS))


def _tokenizer(writer: gguf.GGUFWriter) -> None:
    kinds = [gguf.TokenType.NORMAL] * len(WORDS) + [gguf.TokenType.CONTROL] * len(SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(TOKENS)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(TOKENS.index("<|endoftext|>"))
    writer.add_eos_token_id(TOKENS.index("<|im_end|>"))
    writer.add_pad_token_id(TOKENS.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def _weights(writer: gguf.GGUFWriter, rng: np.random.Generator) -> None:
    def drawn(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.08).astype(np.float32)

    def silent(*shape: int) -> np.ndarray:
        """Weights that leave dimension 0 of the residual stream alone."""
        weights = drawn(*shape)
        weights[0, :] = 0.0
        return weights

    ones = np.ones(WIDTH, np.float32)
    # dimension 0 is a large constant that only the head reads, to hold down what cannot be printed and the end
    embedding, head = drawn(len(TOKENS), WIDTH), drawn(len(TOKENS), WIDTH)
    embedding[:, 0] = 4.0
    head[:, 0] = [0.0 if token in PRINTABLE else -6.0 for token in TOKENS]
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", head)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", ones)
        writer.add_tensor(f"{block}.ffn_norm.weight", ones)
        writer.add_tensor(f"{block}.attn_q.weight", drawn(HEADS * HEAD_WIDTH, WIDTH))
        writer.add_tensor(f"{block}.attn_k.weight", drawn(KV_HEADS * HEAD_WIDTH, WIDTH))
        writer.add_tensor(f"{block}.attn_v.weight", drawn(KV_HEADS * HEAD_WIDTH, WIDTH))
        writer.add_tensor(f"{block}.attn_output.weight", silent(WIDTH, HEADS * HEAD_WIDTH))
        writer.add_tensor(f"{block}.ffn_gate.weight", drawn(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{block}.ffn_up.weight", drawn(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{block}.ffn_down.weight", silent(WIDTH, FEED_FORWARD))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1])
    print(sys.argv[1], Path(sys.argv[1]).stat().st_size, "bytes")
