"""What names of columns mean, in several languages, whatever their case, spaces and underscores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from multihot.data.readers.guarded_cells import GUARD_COLUMN

__all__ = [
    "ID_NAMES",
    "LABEL_NAMES",
    "TEXT_NAMES",
    "is_annotator_name",
    "is_fact_name",
    "is_id_name",
    "is_label_name",
    "is_text_name",
    "prediction_columns",
]

TEXT_NAMES = frozenset(
    {
        "text",
        "texts",
        "tweet",
        "content",
        "sentence",
        "comment",
        "comment_text",
        "message",
        "review",
        "body",
        "utterance",
        "document",
        "文本",
        "内容",
        "正文",
        "句子",
        "评论",
        "微博",
    }
)
"""Column names that mean the text, in any case."""

ID_NAMES = frozenset({"id", "ids", "index", "idx", "guid", "uuid", "编号", "序号"})
"""Column names that mean the row id, in any case; so does every name that ends with `_id`."""

LABEL_NAMES = frozenset(
    {
        "labels",
        "label",
        "tags",
        "tag",
        "categories",
        "category",
        "classes",
        "emotions",
        "emotion",
        "topics",
        "cats",
        "标签",
        "类别",
    }
)
"""Column names that mean all labels of a row, in any case."""


def _names(*groups: str) -> frozenset[str]:
    return frozenset(name for group in groups for name in group.split(", "))


_TEXTS = TEXT_NAMES | _names(
    # English
    "post, description, abstract, article, passage, paragraph, fact, statement, transcript, "
    "overview, question, query",
    # German, Dutch
    "texte, nachricht, nachrichten, inhalt, kommentar, beschreibung, beitrag, satz, "
    "bewertung, rezension, anfrage, meldung, freitext, volltext, wortlaut, tekst, bericht, "
    "inhoud, zin",
    # French, Spanish, Italian, Portuguese
    "contenu, commentaire, avis, phrase, corps, texto, mensaje, contenido, frase, comentario, "
    "reseña, opinión, oración, descripción, descripcion, cuerpo, testo, messaggio, contenuto, "
    "commento, recensione, descrizione, corpo, mensagem, conteúdo, conteudo, comentário, "
    "avaliação, descrição, descricao",
    # Chinese, Japanese, Korean, Russian, Arabic
    "文章, 文字, 留言, 消息, 描述, 摘要, 原文, 内容描述, 问题描述, 文本内容, 评论内容, 评价内容, 反馈内容, 留言内容, "
    "咨询内容, 投诉内容, 工单内容, 问题内容, 消息内容, 短信内容, 帖子内容, 文章内容, 新闻内容, 微博内容, 微博正文, "
    "用户评论, 用户评价, 用户反馈, 內容, 評論, 評論內容, "
    "テキスト, 本文, コメント, メッセージ, レビュー, 投稿, 発話, 텍스트, 내용, 문장, текст, "
    "сообщение, комментарий, نص, النص",
)
_LABELS = LABEL_NAMES | _names(
    # English
    "class, cat, topic, genre, genres, keyword, keywords, target, targets, subject, subjects, "
    "label names, label list",
    # German
    "schlagwörter, schlagworte, schlagwort, stichwörter, stichworte, stichwort, thema, "
    "themen, kategorie, kategorien, klasse, klassen, etikett, etiketten, emotionen",
    # French
    "étiquette, étiquettes, etiquette, etiquettes, catégorie, catégories, categorie, classe, "
    "thème, thèmes, theme, themes, sujet, sujets, mots clés, émotions",
    # Spanish, Italian, Portuguese
    "etiqueta, etiquetas, categoría, categorías, categoria, categorias, clase, clases, tema, "
    "temas, etichetta, etichette, classi, temi, argomento, argomenti, rótulo, rótulos, "
    "rotulo, rotulos, assunto, assuntos, emociones, emozioni, emoções",
    # Chinese, Japanese, Korean, Russian
    "分类, 主题, 标签列表, 所有标签, 全部标签, 标签名, 标签名称, 问题标签, 评论标签, 评价标签, 内容标签, 文本标签, 类别标签, "
    "分类标签, 主题标签, 话题标签, 情感标签, 情绪标签, 问题分类, 问题类别, 问题类型, "
    "標籤, 類別, ラベル, タグ, カテゴリ, カテゴリー, 分類, 라벨, 레이블, 태그, метка, метки, категория, "
    "категории, тема, темы",
)
_IDS = ID_NAMES | _names(
    "nr, no, number, row, row number, #, nummer, lfd nr, laufende nummer, kennung, numéro, "
    "numero, número, identifiant, identificador, identificativo, 編號, 番号, 번호, номер",
)
_ANNOTATORS = _names(
    "annotator, annotators, annotator name, rater, coder, labeler, labeller, annotateur, "
    "anotador, annotatore, bewerter, annotatorin, 标注者, 标注员, 注釈者",
)
_FACTS = _names(
    "fold, split, train, test, verified, retweeted, length, score, confidence, year, gold, "
    "golden, unclear, duplicate, example very unclear, lang, language, source",
)
_HUMP = re.compile(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Þ])|(?<=[A-Z])(?=Id$)")
_INDEX = re.compile(r"(?:unnamed|index level|level) \d+")
_BETWEEN = re.compile(r"[\s_./:-]+")
_PREDICTED = re.compile("predicted_labels_*")
_OTHER_SCRIPT = re.compile(r"[^\x00-\x7f]id")


@lru_cache(maxsize=1 << 14)
def _words(name: str) -> str:
    """Return a name as words: `ticketId`, `Ticket ID` and `ticket_id` are all `ticket id`."""
    return _BETWEEN.sub(" ", _HUMP.sub(" ", name)).strip().casefold()


def is_text_name(name: str) -> bool:
    """Whether a column is named like a text."""
    words = _words(name)
    return words in _TEXTS or words.endswith((" text", " content", " comment"))


def is_label_name(name: str) -> bool:
    """Whether a column is named like one that holds all labels of a row."""
    words = _words(name)
    return words in _LABELS or words.endswith((" labels", " tags", " categories"))


def is_id_name(name: str) -> bool:
    """Whether a column is named like an id."""
    words = _words(name)
    return (
        words in _IDS
        or bool(_INDEX.fullmatch(words))
        or words.endswith((" id", " ids", " uuid", " guid"))
        or words.startswith("id ")
        or bool(_OTHER_SCRIPT.fullmatch(words[-3:]))
    )


def is_annotator_name(name: str) -> bool:
    """Whether a column is named like one that says who labelled a row."""
    return _words(name) in _ANNOTATORS


def is_fact_name(name: str) -> bool:
    """Whether a 0/1 column is named like a fact about the row, as many labels are, too."""
    words = _words(name)
    return (
        words in _FACTS
        or words.startswith(("is ", "has ", "num ", "n ", "total"))
        or words.endswith((" count", " flag", " length"))
    )


def prediction_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that `predict` and `suggest` added to a table; none where there are none.

    They stand side by side: `predicted_labels`, `truncated`, perhaps `guarded` or `abstained`, and a score
    for each label. All end with `_` where the table had such columns before.
    """
    found: list[str] = []
    for start, name in enumerate(columns):
        if not _PREDICTED.fullmatch(name):
            continue
        tail = name.removeprefix("predicted_labels")
        own, rest = [name], columns[start + 1 :]
        for flag in ("truncated", GUARD_COLUMN, "abstained"):
            if rest and rest[0] == flag + tail:
                own.append(flag + tail)
                rest = rest[1:]
        num_flags = len(own) - 1
        for column in rest:
            if not (column.startswith("score_") and column.endswith(tail)):
                break
            own.append(column)
        if num_flags and len(own) > num_flags + 1:
            found += own
    return tuple(found)
