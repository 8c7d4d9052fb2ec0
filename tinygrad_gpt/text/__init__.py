"""From texts to batches of ids: tokenizers, corpus, token files, batches."""

from tinygrad_gpt.text.batches import Batches as Batches
from tinygrad_gpt.text.batches import check_length as check_length
from tinygrad_gpt.text.compact import Compact as Compact
from tinygrad_gpt.text.corpus import STDIN as STDIN
from tinygrad_gpt.text.corpus import read_pieces as read_pieces
from tinygrad_gpt.text.corpus import read_texts as read_texts
from tinygrad_gpt.text.corpus import reference_manual as reference_manual
from tinygrad_gpt.text.corpus import split_tokens as split_tokens
from tinygrad_gpt.text.encoding import build_and_encode as build_and_encode
from tinygrad_gpt.text.encoding import encode_pieces as encode_pieces
from tinygrad_gpt.text.gpt2 import GPT2 as GPT2
from tinygrad_gpt.text.storage import KINDS as KINDS
from tinygrad_gpt.text.storage import build_tokenizer as build_tokenizer
from tinygrad_gpt.text.storage import load_tokenizer as load_tokenizer
from tinygrad_gpt.text.storage import save_tokenizer as save_tokenizer
from tinygrad_gpt.text.token_file import encode_to_file as encode_to_file
from tinygrad_gpt.text.token_file import open_tokens as open_tokens
from tinygrad_gpt.text.token_file import size_of as size_of
from tinygrad_gpt.text.token_file import write_tokens as write_tokens
from tinygrad_gpt.text.tokenizer import END_OF_TEXT as END_OF_TEXT
from tinygrad_gpt.text.tokenizer import Bytes as Bytes
from tinygrad_gpt.text.tokenizer import Characters as Characters
from tinygrad_gpt.text.tokenizer import StreamDecoder as StreamDecoder
from tinygrad_gpt.text.tokenizer import TextError as TextError
from tinygrad_gpt.text.tokenizer import Tokenizer as Tokenizer
