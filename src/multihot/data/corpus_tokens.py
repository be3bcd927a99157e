"""The token ids of a corpus, sentence by sentence, in mapped files.

Letters: `T` tokens, `S` sentences, `D` documents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CorpusTokens"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CorpusTokens:
    """Token ids without special tokens; the arrays may be larger than memory.

    Attributes
    ----------
    ids
        *Shape:* (T,), uint16 or uint32 by vocabulary size.
    sentence_offsets
        *Shape:* (S + 1,), int64. Sentence `s` is `ids[sentence_offsets[s]:sentence_offsets[s + 1]]`;
        none is empty.
    document_offsets
        *Shape:* (D + 1,), int64. Document `d` is the sentences `document_offsets[d]` to
        `document_offsets[d + 1]`; none is empty. Inside it, sentence follows sentence.
    sources
        *Shape:* (D,), int64. Number of the document as it was written. Where sections are held out,
        what is left of one is several documents here, with one number.
    """

    ids: npt.NDArray[np.unsignedinteger]
    sentence_offsets: IntArray
    document_offsets: IntArray
    sources: IntArray

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.ids)

    @property
    def num_sentences(self) -> int:
        """S."""
        return len(self.sentence_offsets) - 1

    @property
    def num_documents(self) -> int:
        """Documents as they were written."""
        return len(np.unique(self.sources))
