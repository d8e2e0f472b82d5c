"""A page of a report as tests look at it."""

import base64
import hashlib
import io
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np
from PIL import Image


@dataclass
class Page(HTMLParser):
    """A parsed page: tags with attributes, what is read of it, tables as rows of texts; asserts that tags nest.

    Attributes:
        tags: of all elements, with their attributes.
        tables: rows of texts.
        text: all that is read.
        scripts: type and content of every script.
    """

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    text: str = ""
    scripts: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append((dict(attrs).get("type") or "", ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            kind, content = self.scripts.pop()
            self.scripts.append((kind, content + data))
            return
        if self.open[-1:] == ["style"]:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] = f"{self.tables[-1][-1][-1]} {data}".strip()

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def drawings(self) -> list[str]:
        """What the charts are called, for those who do not see them."""
        return [svg["aria-label"] for svg in self.all("svg") if svg.get("role") == "img"]

    @property
    def numbers(self) -> list[Any]:
        """The numbers behind the charts."""
        return [json.loads(content) for kind, content in self.scripts if kind == "application/json"]


def parse(html: str) -> Page:
    """A page, all of whose elements are closed."""
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def fetches_nothing_and_runs_its_own(html: str) -> None:
    """Assert that a page asks for nothing from outside, and that a browser runs its one script and no other."""
    page = parse(html)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} has {name}"
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                # Videos lie beside the page.
                assert re.match(r"data:image/png;base64,|#|videos/", value), value[:80]
            elif not name.startswith("xmlns"):
                assert "://" not in value
    assert "@import" not in html
    assert "url(" not in html
    (script,) = [content for kind, content in page.scripts if kind == ""]
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'")
    assert {kind for kind, _ in page.scripts} <= {"", "application/json"}


def image(attributes: dict[str, str]) -> np.ndarray:
    """The pixels of an embedded picture."""
    head, content = attributes.get("src", attributes.get("href", "")).split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
