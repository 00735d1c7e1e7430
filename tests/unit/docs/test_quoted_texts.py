import ast

import pytest

from tests.unit.docs.quoted_texts import (
    CHECKOUT,
    documents,
    quotations,
    quoted,
    says,
    source_texts,
    texts_of,
)

PYMILVUS = ("Fail connecting to server on ..., illegal connection params or server unavailable",)
OPENSSL = (
    "CERTIFICATE_VERIFY_FAILED: certificate has expired",
    "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
    "Hostname mismatch",
    "IP address mismatch",
    "alert certificate expired",
    "alert certificate required",
    "alert protocol version",
    "alert unknown ca",
    "ca md too weak",
    "certificate is not yet valid",
    "ee key too small",
    "self signed certificate in certificate chain",
    "unsupported certificate",
)
GRPC = (
    "Failed to create security handshaker",
    "Hostname Verification Check failed",
    "Invalid private key",
    "Socket closed",
    "Unwrap failed (TSI_DATA_CORRUPTED)",
    "unable to decode issuer public key",
)
SYSTEM = ("Address already in use",)
MILVUS = (
    "fail to execute task when deleting the user",
    "... numbers, letters, dollars and underscores",
)
#: Settings of nginx.
NGINX = (
    "http2 on;",
    "listen 19530;",
    'use-forwarded-headers: "true"',
    'use-proxy-protocol: "true"',
)
#: A usage of certificates, and arguments of the benchmark.
NO_TEXTS = ("relay peers", "server auth")
#: What the pages quote that is not ours.
FOREIGN = frozenset((*PYMILVUS, *OPENSSL, *GRPC, *SYSTEM, *MILVUS, *NGINX, *NO_TEXTS))


@pytest.fixture(scope="module")
def sources():
    return source_texts()


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_a_page_quotes_texts_as_the_sources_have_them(page, sources):
    own = [text for text in quotations(page) if text not in FOREIGN]
    unknown = [text for text in own if not any(says(each, quoted(text)) for each in sources)]
    assert unknown == []


def test_every_foreign_text_is_still_quoted():
    assert {text for page in documents() for text in quotations(page)} >= FOREIGN


def test_the_pages_quote_enough_to_be_worth_the_comparison():
    page = CHECKOUT / "docs" / "troubleshooting.md"
    assert len(quotations(page)) > 30


LITERALS = '''
"""The docstring."""
plain = "one " "text"
long = "at the end of three words"
formatted = f"user {name} is {state!r} here"
'''


@pytest.mark.parametrize(
    ("quotation", "is_said"),
    [
        *(("one text", True), ("user NAME is", True), ("... is ... here", True)),
        *(("is", True), ("text", False), ("... text", False), ("... of three words", True)),
        *(("The docstring.", False), ("is NAME user", False), ("user alice is", False)),
    ],
)
def test_a_quotation_is_found_with_its_elisions(quotation, is_said):
    texts = list(texts_of(ast.parse(LITERALS)))
    assert any(says(text, quoted(quotation)) for text in texts) is is_said
