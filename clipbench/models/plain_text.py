"""Tokenizers that read a special token's name in a caption as text, so that a caption cannot end itself."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from clipbench.errors import ConfigError
from clipbench.models.text_cleaning import is_clip_backend

# OpenAI's pattern without its alternatives for special tokens.
_CLIP_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

_KEPT_WORDS = 2**16


def plain_tokenizer(tokenizer: Any) -> Any:
    """A copy of a transformers tokenizer that reads special tokens in a text as text.

    The two share their vocabulary; the given one is not changed. For CLIP, it follows OpenAI's algorithm exactly, for
    texts that are already clean.
    """
    # Not copy.copy: a slow tokenizer would read its vocabulary's file again, which may be gone.
    plain = object.__new__(type(tokenizer))
    plain.__dict__.update(tokenizer.__dict__)
    plain.split_special_tokens = True
    if tokenizer.is_fast:
        plain._tokenizer = plain_backend(tokenizer.backend_tokenizer, tokenizer.all_special_tokens)
    return plain


def plain_backend(old: Any, special_tokens: Sequence[str] = ()) -> Any:
    """As ``plain_tokenizer``, of a tokenizer of the tokenizers library.

    Args:
        old: The tokenizer.
        special_tokens: Names of its special tokens, where its vocabulary contains them as words.
    """
    from tokenizers import Regex, Tokenizer, pre_tokenizers
    from tokenizers.models import Unigram

    new: Any = Tokenizer(old.model)
    new.add_tokens([token for _, token in sorted(old.get_added_tokens_decoder().items())])
    if new.get_added_tokens_decoder().keys() != old.get_added_tokens_decoder().keys():  # if their ids have gaps
        new = copy.deepcopy(old)
    splits = [] if old.pre_tokenizer is None else [old.pre_tokenizer]
    if is_clip_backend(old):
        words = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
        splits = [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        new.normalizer = None
    else:
        new.normalizer = old.normalizer
    if isinstance(old.model, Unigram):
        # Its vocabulary contains the special tokens as words, so they are cut in two after everything else.
        names = sorted(filter(lambda name: len(name) > 1, special_tokens))
        cut = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in names)
        splits.append(pre_tokenizers.Split(Regex(cut), behavior="merged_with_previous"))
    if splits:
        new.pre_tokenizer = pre_tokenizers.Sequence(splits)
    new.post_processor, new.decoder = old.post_processor, old.decoder
    return new


# ISO 639-1 to FLORES-200; where several codes would fit, that of the most widely spoken variety.
_NLLB_CODES = (
    "ar=arb_Arab az=azj_Latn bn=ben_Beng bg=bul_Cyrl ca=cat_Latn cs=ces_Latn da=dan_Latn de=deu_Latn "
    "el=ell_Grek en=eng_Latn es=spa_Latn et=est_Latn fa=pes_Arab fi=fin_Latn fr=fra_Latn he=heb_Hebr "
    "hi=hin_Deva hr=hrv_Latn hu=hun_Latn id=ind_Latn it=ita_Latn ja=jpn_Jpan ko=kor_Hang lt=lit_Latn "
    "lv=lvs_Latn nl=nld_Latn no=nob_Latn pl=pol_Latn pt=por_Latn ro=ron_Latn ru=rus_Cyrl sk=slk_Latn "
    "sl=slv_Latn sr=srp_Cyrl sv=swe_Latn sw=swh_Latn th=tha_Thai tr=tur_Latn uk=ukr_Cyrl vi=vie_Latn "
    "zh=zho_Hans"
)
_NLLB = dict(pair.split("=") for pair in _NLLB_CODES.split())


def nllb_code(language: str) -> str:
    """NLLB's code of a language.

    Examples:
        >>> nllb_code("de"), nllb_code("deu_Latn")
        ('deu_Latn', 'deu_Latn')

    Raises:
        ConfigError: The language is unknown; names the known ones.
    """
    if "_" in language:
        return language
    if language not in _NLLB:
        raise ConfigError(f"language {language!r}: known are {', '.join(_NLLB)}, and codes such as deu_Latn")
    return _NLLB[language]


def hold_language(tokenizer: Any) -> None:
    """Make a multilingual tokenizer (NLLB's) keep the language that open_clip set.

    open_clip sets the tokens of the language but not the language itself, and transformers overwrites the former with
    the latter on each call.
    """
    code = getattr(tokenizer, "cur_lang_code", None)
    if code is not None and hasattr(tokenizer, "src_lang"):
        tokenizer.src_lang = tokenizer.convert_ids_to_tokens(code)


def plain_open_clip_tokenizer(tokenizer: Any, clean: Callable[[str], str]) -> Any:
    """A copy of an open_clip tokenizer that cleans with ``clean`` and reads special tokens in a text as text."""
    from open_clip.tokenizer import SimpleTokenizer

    plain = copy.copy(tokenizer)
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None:
        plain.tokenizer, plain.clean_fn = plain_tokenizer(inner), clean
        return plain
    names = [tokenizer.decoder[number] for number in tokenizer.all_special_ids]

    def cleaned(text: str) -> str:
        text = clean(text)
        for name in names:  # CLIP splits words between < and a letter anyway, so a space there changes nothing else
            text = text.replace(name, f"{name[0]} {name[1:]}")
        return text

    plain.clean_fn = cleaned
    if type(tokenizer) is SimpleTokenizer:
        plain.encode = _word_by_word(tokenizer, cleaned)
    return plain


def _word_by_word(tokenizer: Any, clean: Callable[[str], str]) -> Callable[[str], list[int]]:
    """``encode`` of open_clip's CLIP tokenizer, which encodes each distinct word once.

    BPE never crosses words, and the variants of a caption have the same ones.
    """
    words = copy.copy(tokenizer)
    words.clean_fn = str
    ids_of = functools.lru_cache(_KEPT_WORDS)(words.encode)
    return lambda text: [number for word in tokenizer.pat.findall(clean(text)) for number in ids_of(word)]
