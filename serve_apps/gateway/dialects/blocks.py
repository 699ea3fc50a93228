"""The parts of a chat message as Anthropic's content blocks."""

import base64
import binascii
from typing import Any

from serve_apps.gateway.dialects.parts import PASSED
from serve_apps.gateway.dialects.reading import Json, a_string, an_object, objects, picked, unsupported
from serve_apps.gateway.errors import invalid_value

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def text_block(text: str) -> Json:
    return {"type": "text", "text": text}


def blocks_of(content: Any, param: str) -> list[Json]:
    """None for a string or part of text that is empty: Anthropic refuses empty blocks, and they say nothing."""
    if content is None:
        return []
    if isinstance(content, str):
        return [text_block(content)] if content else []
    found = [_block(part, name) for name, part in objects(content, param)]
    return [block for block in found if block.get("text") != ""]


def _block(part: Json, param: str) -> Json:
    match part.get("type"):
        case "text":
            block = text_block(a_string(part.get("text"), f"{param}.text"))
        case "refusal":
            block = text_block(a_string(part.get("refusal"), f"{param}.refusal"))
        case "image_url":
            image = an_object(part.get("image_url"), f"{param}.image_url")
            block = _image(a_string(image.get("url"), f"{param}.image_url.url"), f"{param}.image_url.url")
        case "file":
            block = _document(an_object(part.get("file"), f"{param}.file"), f"{param}.file")
        case _:
            raise unsupported(f"{param}.type", "must be text, image_url or file for the model that was asked for")
    return block | picked(part, PASSED)


def _image(url: str, param: str) -> Json:
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data_url(url, param)
    if media_type not in IMAGES:
        raise unsupported(param, f"must be of {', '.join(IMAGES)} for the model that was asked for")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document(file: Json, param: str) -> Json:
    if file.get("file_data") is None:
        raise unsupported(param, "must carry file_data: files stay with the provider that stores them")
    name = f"{param}.file_data"
    media_type, data = _data_url(a_string(file["file_data"], name), name)
    match media_type:
        case "application/pdf":
            source = {"type": "base64", "media_type": media_type, "data": data}
        case "text/plain":
            source = {"type": "text", "media_type": media_type, "data": _decoded(data, name)}
        case _:
            raise unsupported(name, "must be of application/pdf or text/plain for the model that was asked for")
    title = {"title": file["filename"]} if isinstance(file.get("filename"), str) else {}
    return {"type": "document", "source": source} | title


def _data_url(url: str, param: str) -> tuple[str, str]:
    """The media type and the data in base64."""
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, *parameters = head.split(";")
    if not url.startswith("data:") or not comma or "base64" not in parameters:
        raise unsupported(param, "must be a data URL in base64")
    return media_type, data


def _decoded(data: str, param: str) -> str:
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, ValueError):
        raise invalid_value(param, "text of UTF-8 in base64", data) from None
