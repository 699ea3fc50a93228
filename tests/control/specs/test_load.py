"""Loading: what is recognised, how values are read, and which files are refused as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.specs.gpu_policy import ConfigMap
from control.specs.load import load_file, load_text
from control.specs.problem import SpecError
from control.specs.yaml_tree import MAX_BYTES
from tests.control.specs import samples
from tests.control.specs.samples import (
    CONFIG_MAP,
    DEPLOYMENT,
    GATEWAY,
    TIME_SLICING,
    WORKFLOW,
    WORKLOAD,
    broken,
    complaints,
)

SAMPLES = {name: text for name, text in vars(samples).items() if name.isupper() and isinstance(text, str)}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_right_file_loads_and_survives_being_stored(name: str) -> None:
    (document,) = load_text(SAMPLES[name], "f.yaml")
    model = type(document.spec)
    assert model.model_validate(document.spec.model_dump(mode="json")) == document.spec
    assert model.model_validate_json(document.spec.model_dump_json()) == document.spec


def test_several_documents_keep_the_lines_of_the_file() -> None:
    first, second = load_text(f"---\n{WORKLOAD}---\n# nothing here\n---\n{DEPLOYMENT}", "f.yaml")
    assert (first.kind, first.name, first.lines[("kind",)]) == ("Workload", "job", 3)
    assert (second.kind, second.name, second.lines[("kind",)]) == ("Deployment", "chat", 14)


def test_a_gateway_needs_no_kind() -> None:
    (document,) = load_text(GATEWAY, "f.yaml")
    assert (document.kind, document.name) == ("Gateway", "front")


def test_numbers_where_text_belongs_stay_as_they_were_written() -> None:
    (document,) = load_text(WORKFLOW, "f.yaml")
    assert document.spec.model_dump()["spec"]["arguments"]["parameters"][0]["value"] == "0.10"
    assert document.raw["spec"]["arguments"]["parameters"][0]["value"] == 0.1


def test_embedded_yaml_has_the_lines_of_the_file() -> None:
    (document,) = load_text(CONFIG_MAP, "f.yaml")
    lines = {document.path_of(loc): line for loc, line in document.lines.items()}
    assert lines["data.mig-config.mig-configs.mixed[1].devices[1]"] == 15


def test_every_text_of_a_config_map_is_opened_with_its_lines() -> None:
    (document,) = load_text(TIME_SLICING + CONFIG_MAP[CONFIG_MAP.index("  mig-config") :], "f.yaml")
    assert isinstance(document.spec, ConfigMap)
    assert list(document.spec.layouts) == ["mixed"]
    assert document.spec.sharing["sharing"].replicas == 4
    lines = {document.path_of(loc): line for loc, line in document.lines.items()}
    assert lines["data.sharing.sharing.timeSlicing.resources[0].replicas"] == 16
    assert lines["data.mig-config.mig-configs.mixed[0].devices"] == 21


def test_a_config_map_without_anything_in_it_is_refused() -> None:
    text = TIME_SLICING[: TIME_SLICING.index("\ndata:")] + "\ndata: {}\n"
    message = "nothing is listed; expected mig-config, or a configuration of the device plugin by its name"
    assert complaints(text) == [f"f.yaml:5: data: {message}"]


def test_embedded_yaml_in_quotes_points_at_its_key() -> None:
    text = CONFIG_MAP[: CONFIG_MAP.index("  mig-config")] + '  mig-config: "version: v1\\nmig: {}"\n'
    assert "f.yaml:6: data.mig-config.mig: unknown field 'mig'; expected one of version, mig-configs" in complaints(
        text
    )


def test_a_place_that_is_not_in_the_file_takes_the_line_above_it() -> None:
    (document,) = load_text(WORKLOAD, "f.yaml")
    assert document.line_of(("spec", "priority_class")) == 5


def test_anchors_and_merges_are_opened() -> None:
    text = broken(
        DEPLOYMENT,
        "    max_model_len: 256\n",
        "    base: &base {a: 1, b: 2}\n    more: {<<: *base, b: 3}\n    copy: *base\n",
    )
    (document,) = load_text(text, "f.yaml")
    assert document.raw["spec"]["engine"]["more"] == {"b": 3, "a": 1}
    assert document.raw["spec"]["engine"]["copy"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1: the file is empty; expected kind: "),
        ("# only words\n---\n", "f.yaml:1: the file is empty; expected kind: "),
        ("a: b\nc: [1\nd: e\n", "f.yaml:3: broken YAML at column 2: expected ',' or ']', but got ':'"),
        ("a: b\n\tc: d\n", "f.yaml:2: broken YAML at column 1: found character '\\t' that cannot start"),
        ("a: b\nc: *d\n", "f.yaml:2: broken YAML at column 4: found undefined alias 'd'"),
        ("a: b\nc: \x01\n", "f.yaml:2: broken YAML at column 4: the character U+0001 may not stand here"),
        ("- 1\n", "f.yaml:1: found a list; expected a mapping with kind: "),
        ("a: b\nc: !!python/name:os.system x\n", "f.yaml:2: found the tag 'tag:yaml.org,2002:python/name:os."),
        ("a: 1\n? [b]\n: c\n", "f.yaml:2: found a list or mapping as a key; expected text"),
        ("a: &a [*a]\n", "f.yaml:1: nested deeper than 64 levels"),
        ("a: " + "[" * 400 + "]" * 400, "f.yaml:1: nested deeper than 64 levels"),
        ("a: 1\n<<: 3\n", "f.yaml:2: '<<' merges something else; expected a mapping"),
    ],
)
def test_what_is_no_document_is_refused(text: str, message: str) -> None:
    assert complaints(text)[0].startswith(message)


def test_an_alias_bomb_is_refused() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "more than 100000 values, aliases counted each time" in complaints(text)[0]


def test_the_same_kind_and_name_twice_in_a_file_is_refused() -> None:
    message = "Workload 'job' is given twice, first on line 1; expected every name once for each kind"
    assert complaints(f"{WORKLOAD}---\n{WORKLOAD}") == [f"f.yaml:10: {message}"]


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("#" * MAX_BYTES + "é")
    with pytest.raises(SpecError, match=f"too large; expected at most {MAX_BYTES} bytes"):
        load_file(file)


def test_a_file_that_is_not_utf8_is_refused_by_line(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"kind: a\nname: \xff\n")
    with pytest.raises(SpecError, match=r"f\.yaml:2: not UTF-8: byte 0xff; expected UTF-8 text"):
        load_file(file)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + WORKLOAD.encode())
    assert [document.name for document in load_file(file)] == ["job"]
