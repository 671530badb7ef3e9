"""Decoders and encoders of the test schemas, compiled once."""

from __future__ import annotations

import warnings

import pytest

with warnings.catch_warnings():  # kafka-python reads its own files in a way that Python 3.11 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.record.default_records  # noqa: F401

from schemas.decode import Decoder
from schemas.encode import Encoder
from tests.unit.schemas.reference import EVERYTHING, EVERYTHING_ID, OTHER, OTHER_ID, VOCABULARIES


@pytest.fixture(scope="session")
def decoder() -> Decoder:
    schemas = {"everything": (EVERYTHING_ID, EVERYTHING), "other": (OTHER_ID, OTHER)}
    return Decoder.of_schemas(schemas, {"word": VOCABULARIES["word"], "maybe_word": VOCABULARIES["maybe_word"]})


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    words = {**VOCABULARIES, "text": ("x", "long text " * 40), "maybe_text": ("", "数")}
    return Encoder.of_schema(EVERYTHING, EVERYTHING_ID, words, "number")
