"""Anthropic's content blocks as the parts of a chat message."""

from typing import Any

from serve_apps.gateway.dialects.reading import Json, a_string, an_object, objects, picked, unsupported

PASSED = ("cache_control",)
"""Fields of a block that a backend behind the chat form may know, and that Anthropic's know."""


def text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def parts_of(content: Any, param: str) -> list[Json]:
    """A string is one part of text. Citations and transformations are dropped: the chat form has no place for them."""
    if isinstance(content, str):
        return [text_part(content)]
    return [part for name, block in objects(content, param) for part in parts_of_block(block, name)]


def parts_of_block(block: Json, param: str) -> list[Json]:
    """One part, or those that a document consists of. Raises ApiError 400 for what runs at Anthropic only."""
    match block.get("type"):
        case "text":
            return [text_part(a_string(block.get("text"), f"{param}.text")) | picked(block, PASSED)]
        case "image":
            return [
                _image(an_object(block.get("source"), f"{param}.source"), f"{param}.source") | picked(block, PASSED)
            ]
        case "document":
            return _document(block, param)
        case "search_result":
            return parts_of(block.get("content"), f"{param}.content")
    raise unsupported(f"{param}.type", "is not known to the API of the model that was asked for")


def plain(parts: list[Json]) -> str | list[Json]:
    """The content of a message: a string where nothing is lost by it, because old servers know no other."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def _image(source: Json, param: str) -> Json:
    match source.get("type"):
        case "base64":
            url = _data_url(source, param)
        case "url":
            url = a_string(source.get("url"), f"{param}.url")
        case _:
            raise unsupported(f"{param}.type", "must be base64 or url: files stay with the provider that stores them")
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: Json, param: str) -> list[Json]:
    name = f"{param}.source"
    source = an_object(block.get("source"), name)
    match source.get("type"):
        case "base64":
            title = block.get("title")
            file = {"filename": title if isinstance(title, str) else "document", "file_data": _data_url(source, name)}
            return [{"type": "file", "file": file} | picked(block, PASSED)]
        case "text":
            return [text_part(a_string(source.get("data"), f"{name}.data")) | picked(block, PASSED)]
        case "content":
            return parts_of(source.get("content"), f"{name}.content")
    raise unsupported(f"{name}.type", "must be base64, text or content: the chat form carries documents in the request")


def _data_url(source: Json, param: str) -> str:
    media_type = a_string(source.get("media_type"), f"{param}.media_type")
    return f"data:{media_type};base64,{a_string(source.get('data'), f'{param}.data')}"
