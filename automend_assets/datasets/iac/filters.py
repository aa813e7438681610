"""Which files are Kubernetes manifests about ML infrastructure that may be used: a code for each that is not.

Here: the filters that look at text and columns, as polars expressions over a batch. Not here: reading YAML
(`documents.py`), redaction, duplicates; the order of all of them is in `process.py`.

================================  ====================================================================================
code                              the file
================================  ====================================================================================
empty                             has nothing but white space
size_out_of_range                 has fewer bytes than `min_bytes` or more than `max_bytes`
low_alphanumeric                  has too few letters and digits
extension                         is not called .yaml or .yml
not_kubernetes                    lacks one of the fields apiVersion, kind, metadata
helm_template                     is a Helm template: names Helm's objects, or is no YAML for its bare `{{`
a code of `documents.CODES`       is no YAML that is read
not_a_resource                    has a document without apiVersion and kind
licence_not_permissive            has no licence, or one that is not permissive among several
no_ml_infrastructure              has none of the keywords as a word or field
================================  ====================================================================================
"""

from __future__ import annotations

import re

import polars as pl

from automend_assets.datasets.iac.options import IacOptions

# What only Helm defines, inside of {{ }}. Argo, Prometheus and Grafana use the braces too, in strings of valid
# manifests.
_HELM = (
    r"\{\{[^}\n]*(?:\.(?:Values|Release|Chart|Capabilities|Template|Files)\b"
    r"|\b(?:include|template|define|tpl)\s+[\"$]|\btoYaml\b)"
)
# Where no string of YAML can have them: at the beginning of a line or value, or trimming white space.
_BARE_BRACES = re.compile(r"^[ \t]*(?:- +)*\{\{|:[ \t]+\{\{|\{\{-|-\}\}", re.MULTILINE)


def by_form(options: IacOptions) -> pl.Expr:
    """The code of the first filter on size, characters and name that refuses a row of the raw frame, else null."""
    content = pl.col("content")
    size = content.str.len_bytes()
    return (
        pl.when(content.is_null() | ~content.str.contains(r"\S"))
        .then(pl.lit("empty"))
        .when((size < options.min_bytes) | (size > options.max_bytes))
        .then(pl.lit("size_out_of_range"))
        .when(pl.col("alphanum_fraction") < options.min_alphanumeric)
        .then(pl.lit("low_alphanumeric"))
        .when(~pl.col("ext").str.to_lowercase().is_in(options.extensions).fill_null(False))
        .then(pl.lit("extension"))
    )


def by_fields(options: IacOptions) -> pl.Expr:
    """The code of the first filter on what the text says before YAML is read, else null."""
    content = pl.col("content")
    return (
        pl.when(
            ~pl.all_horizontal(content.str.contains(field_pattern(name)) for name in options.required_fields)
        )
        .then(pl.lit("not_kubernetes"))
        .when(content.str.contains(_HELM))
        .then(pl.lit("helm_template"))
    )


def after_parsing(options: IacOptions) -> pl.Expr:
    """The code of the first filter after YAML was read that refuses a row of the raw frame, else null."""
    return (
        pl.when(~is_permissive(options))
        .then(pl.lit("licence_not_permissive"))
        .when(~pl.col("content").str.contains(keyword_pattern(all_keywords(options))))
        .then(pl.lit("no_ml_infrastructure"))
    )


def has_bare_braces(text: str) -> bool:
    """Whether a text has `{{` where YAML that uses it in a string cannot have it."""
    return _BARE_BRACES.search(text) is not None


def is_permissive(options: IacOptions) -> pl.Expr:
    """Whether a file has a licence and all of its licences are permissive."""
    licences = pl.col("licenses")
    permissive = licences.list.eval(pl.element().str.to_lowercase().is_in(options.licences).fill_null(False))
    return ((licences.list.len() > 0) & permissive.list.all()).fill_null(False)


def found_keywords(options: IacOptions) -> pl.Expr:
    """The keywords of a file's `content`, as a list in the order of the options, each once."""
    return pl.concat_list(
        pl.when(pl.col("content").str.contains(keyword_pattern([word]))).then(pl.lit(word))
        for word in all_keywords(options)
    ).list.drop_nulls()


def all_keywords(options: IacOptions) -> list[str]:
    """The keywords of every group."""
    return list(dict.fromkeys(word for words in options.keywords.values() for word in words))


def field_pattern(name: str) -> str:
    """A pattern for a field of a YAML or JSON object, in the syntax of Rust's regex."""
    quoted = re.escape(name)
    return rf"""(?m)(?:^[ \t]*(?:- +)*|[{{,][ \t]*)["']?{quoted}["']?[ \t]*:"""


def keyword_pattern(words: list[str]) -> str:
    """A pattern for any of `words` as a word of its own, in the syntax of Rust's regex.

    A word begins and ends where letters and digits do, or at a hump (`servingRuntime`, `WorkflowTemplate`), may be in
    any case and in the plural; `observing` and `gpuless` hold none.
    """
    any_case = "|".join(f"{re.escape(word)}s?" for word in words)
    capitalised = "|".join(f"{re.escape(word[:1].upper())}(?i:{re.escape(word[1:])})s?" for word in words)
    lower = "|".join(map(re.escape, words))
    before, after = "(?:^|[^A-Za-z0-9])", "(?:[^A-Za-z0-9]|$)"
    return (
        f"{before}(?i:{any_case}){after}"
        f"|(?:{before}|[a-z0-9])(?:{capitalised})(?:[A-Z0-9]|{after})"
        f"|{before}(?:{lower})[A-Z0-9]"
    )
