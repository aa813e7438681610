"""The chat forms: their lines, and that today's trainers read the second one without inventing anything."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from automend_assets.datasets.glaive import sample
from automend_assets.datasets.glaive.chatml import (
    SYSTEM_SENTENCE,
    chatml_lines,
    tool_message_features,
    tool_message_lines,
)
from automend_assets.datasets.glaive.parse import parse_batch

if TYPE_CHECKING:
    import datasets
    import transformers

ROWS = (
    Path(__file__).parents[4]
    / "shared/realdata/hub/datasets/glaiveai/glaive-function-calling-v2/glaive-function-calling-v2.json"
)


@pytest.fixture(scope="module")
def processed() -> pl.DataFrame:
    """Records of all real rows and of 2,000 generated ones, whose dirt is upstream's."""
    rows = [(row["system"], row["chat"]) for row in json.loads(ROWS.read_text(encoding="utf-8"))]
    rows += [(row.system, row.chat) for row in sample.generate(2_000, seed=21)]
    raw = pl.DataFrame(rows, schema={"system": pl.String, "chat": pl.String}, orient="row").with_row_index(
        "row_number"
    )
    return parse_batch(
        raw.with_columns(
            pl.col("row_number").cast(pl.Int64),
            source_error=pl.lit(None, pl.String),
            source_text=pl.lit(None, pl.String),
        )
    )[0]


def usable(processed: pl.DataFrame) -> list[dict[str, Any]]:
    return processed.filter(pl.col("quarantine_reason").is_null()).to_dicts()


def loaded(lines: pl.LazyFrame) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.collect()["line"]]


# --- the workflow form --------------------------------------------------------------


def test_a_workflow_has_every_call_of_its_record(processed: pl.DataFrame) -> None:
    records, lines = usable(processed), loaded(chatml_lines(processed.lazy()))
    assert processed["quarantine_reason"].count() > 0
    for record, line in zip(records, lines, strict=True):
        system, user, assistant = line["messages"]
        signatures = record["function_signatures"]
        assert system == {"role": "system", "content": f"{SYSTEM_SENTENCE}\n\nAvailable Tools: {signatures}"}
        assert user["role"] == "user"
        assert record["chat"].startswith(f"USER: {user['content']}")
        answer = json.loads(assistant["content"])
        assert answer["workflow"]["steps"] == [
            {"tool": call["name"], "params": call["arguments"]}
            for call in json.loads(record["function_calls"])
        ]
        assert ("message" in answer) == (record["num_calls"] == 0)
        # Uncut, so found whole.
        assert answer.get("message", "") in record["chat"]
        assert list(line)[1:] == [
            "complexity_tier",
            "has_error_handling",
            "num_turns",
            "num_calls",
            "sample_weight",
        ]
        assert line["sample_weight"] == 1.0
        assert {name: line[name] for name in list(line)[1:-1]} == {
            name: record[name] for name in list(line)[1:-1]
        }


def test_weights_go_to_their_rows(processed: pl.DataFrame) -> None:
    weights = processed.select("row_number", sample_weight=pl.col("row_number") / 4).filter(
        pl.col("row_number") % 2 == 0
    )
    lines = loaded(chatml_lines(processed.lazy(), weights.sample(fraction=1, shuffle=True, seed=1).lazy()))
    numbers = [record["row_number"] for record in usable(processed)]
    assert [line["sample_weight"] for line in lines] == [n / 4 if n % 2 == 0 else 1.0 for n in numbers]


def test_no_line_is_broken(processed: pl.DataFrame) -> None:
    for lines in (chatml_lines(processed.lazy()), tool_message_lines(processed.lazy())):
        assert not lines.collect()["line"].str.contains("\n").any()
        assert lines.collect_schema() == {"line": pl.String}


# --- the trainer form -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tool_messages(processed: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tool_messages") / "tool_messages.jsonl"
    lines = tool_message_lines(processed.lazy()).collect()["line"]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_conversation_has_every_turn_and_every_call(processed: pl.DataFrame, tool_messages: Path) -> None:
    for record, line in zip(usable(processed), read(tool_messages), strict=True):
        messages = line["messages"]
        calls = [call["function"] for message in messages for call in message.get("tool_calls", [])]
        assert calls == json.loads(record["function_calls"])
        assert sum(message["role"] == "user" for message in messages) == record["num_turns"]
        assert sum(message["role"] == "tool" for message in messages) == record["num_function_responses"]
        for message in messages:
            assert (
                message["content"] in record["chat"] or message["role"] == "system" or "tool_calls" in message
            )
            assert None not in message.values()
        assert (line["tools"] is None) == (record["num_defined_functions"] == 0)


def load(path: Path, cache: Path, **options: Any) -> datasets.Dataset:
    from datasets import load_dataset

    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache), **options)


@pytest.mark.parametrize("with_features", [True, False])
def test_datasets_gives_back_what_was_written(
    tool_messages: Path, tmp_path: Path, with_features: bool
) -> None:
    features = {"features": tool_message_features()} if with_features else {}
    dataset = load(tool_messages, tmp_path, **features)
    assert dataset.features == tool_message_features()
    for written, row in zip(read(tool_messages), dataset, strict=True):
        assert rounded(row) == rounded(written)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rounded(value: Any) -> Any:
    """The value, its floats to nine decimals: ``datasets`` decodes 0.7 as 0.7000000000000001 and cuts at ten."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 9) if isinstance(value, float) else value


def test_datasets_invents_nothing_in_a_file_without_calls(tool_messages: Path, tmp_path: Path) -> None:
    """The first rows that the loader looks at may have none; then only the features say that later ones may."""
    plain = [
        row for row in read(tool_messages) if not any("tool_calls" in message for message in row["messages"])
    ]
    path = tmp_path / "plain.jsonl"
    path.write_text("\n".join(map(json.dumps, plain)), encoding="utf-8")
    assert list(load(path, tmp_path, features=tool_message_features())) == plain


def tiny_tokenizer(template: str) -> transformers.PreTrainedTokenizerFast:
    """A byte-level tokenizer with 256 tokens and a real chat template, read from the installed TRL."""
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    templates = Path(trl.__file__).parent / "chat_templates"
    fast.chat_template = (templates / f"{template}.jinja").read_text(encoding="utf-8")
    return fast


BLOCK = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


def assert_rendered(text: str, row: dict[str, Any]) -> None:
    """The calls in the text are those of the row, and it has no null that the row does not have."""
    calls = [call["function"] for message in row["messages"] for call in message.get("tool_calls", [])]
    # The templates explain the form of a call before they use it.
    blocks = BLOCK.findall(text)[-len(calls) :] if calls else []
    assert len(blocks) == len(calls)
    for block, call in zip(blocks, calls, strict=True):
        if block.startswith("{"):
            assert json.loads(block) == call
        else:
            assert block.split("<", 1)[0].strip() == call["name"]
            shown = {
                key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                for key, value in call["arguments"].items()
            }
            assert dict(PAIR.findall(block)) == shown
    written = json.dumps(row["messages"], ensure_ascii=False) + (row["tools"] or "")
    for nothing in ("null", "None"):
        assert text.count(nothing) <= written.count(nothing)


TEMPLATES = ["qwen2_5", "qwen3", "glm4moe"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_transformers_renders_every_call(tool_messages: Path, tmp_path: Path, template: str) -> None:
    tokenizer = tiny_tokenizer(template)
    rows = load(tool_messages, tmp_path, features=tool_message_features())
    for row in rows:
        tools = json.loads(row["tools"]) if row["tools"] else None
        assert_rendered(tokenizer.apply_chat_template(row["messages"], tools=tools, tokenize=False), row)


@pytest.mark.parametrize("template", TEMPLATES)
def test_trl_renders_every_call(tool_messages: Path, tmp_path: Path, template: str) -> None:
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    tokenizer = tiny_tokenizer(template)
    for row in load(tool_messages, tmp_path, features=tool_message_features()).select(range(0, 2_000, 4)):
        assert is_conversational(row)
        tools = json.loads(row["tools"]) if row["tools"] else None
        assert_rendered(
            maybe_apply_chat_template({"messages": row["messages"]}, tokenizer, tools=tools)["text"], row
        )


def test_trl_prepares_it_for_training(tool_messages: Path, tmp_path: Path) -> None:
    """SFTTrainer takes the dataset as it is loaded: it decodes ``tools``, renders and tokenizes every row."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    rows = load(tool_messages, tmp_path / "cache", features=tool_message_features())
    with_calls = rows.filter(lambda row: any("tool_calls" in message for message in row["messages"])).select(
        range(40)
    )
    tokenizer = tiny_tokenizer("qwen2_5")
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
        )
    )
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", max_length=None, bf16=False),
        train_dataset=with_calls,
        processing_class=tokenizer,
    )
    assert trainer.train_dataset is not None
    for row, prepared in zip(with_calls, trainer.train_dataset, strict=True):
        assert_rendered(tokenizer.decode(prepared["input_ids"]), row)
