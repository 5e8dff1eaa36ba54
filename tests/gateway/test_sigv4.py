"""Signatures are those of AWS's published test suite, and of AWS's own package where it is installed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bawn.errors import Fault
from bawn.gateway.sigv4 import AwsKey, ToSign, aws_key, signed

# The suite's key, moment, region and service (`aws-sig-v4-test-suite`).
KEY = AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")
MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
HOST = ("host", "example.amazonaws.com")
FORM = ("content-type", "application/x-www-form-urlencoded")
SESSION = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7"
    "mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d"
    "+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


@pytest.mark.parametrize(
    ("request_", "key", "signature"),
    [
        pytest.param(
            ToSign("GET", "/", "", (HOST,), b""),
            KEY,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="get-vanilla",
        ),
        pytest.param(
            ToSign("GET", "/", "Param1=value1&Param2=value2", (HOST,), b""),
            KEY,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="get-vanilla-query-order-key-case",
        ),
        pytest.param(
            ToSign("POST", "/", "", (HOST,), b""),
            KEY,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="post-vanilla",
        ),
        pytest.param(
            ToSign("POST", "/", "", (HOST, FORM), b"Param1=value1"),
            KEY,
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="post-x-www-form-urlencoded",
        ),
        pytest.param(
            ToSign("POST", "/", "", (HOST,), b""),
            AwsKey(KEY.id, KEY.secret, SESSION),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            id="post-sts-header-before",
        ),
    ],
)
def test_the_published_vectors_are_met(request_: ToSign, key: AwsKey, signature: str) -> None:
    headers = dict(signed(request_, key, "us-east-1", "service", MOMENT))
    assert headers["x-amz-date"] == "20150830T123600Z"
    assert headers["authorization"].endswith(f"Signature={signature}")
    assert headers["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
    )


@pytest.mark.parametrize("session", ["", SESSION])
@pytest.mark.parametrize(
    "model", ["anthropic.claude-v2%3A1", "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx", "a~b"]
)
def test_aws_own_package_signs_the_same(model: str, session: str) -> None:
    auth: Any = pytest.importorskip("botocore.auth", reason="AWS's package is not installed")
    request_of: Any = pytest.importorskip("botocore.awsrequest").AWSRequest
    credentials: Any = pytest.importorskip("botocore.credentials").Credentials
    host, path, body = "bedrock-runtime.eu-west-1.amazonaws.com", f"/model/{model}/converse", b'{"messages":[]}'
    theirs = request_of("POST", f"https://{host}{path}", {"Content-Type": "application/json"}, body)
    auth.SigV4Auth(credentials(KEY.id, KEY.secret, session or None), "bedrock", "eu-west-1").add_auth(theirs)
    moment = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    request = ToSign("POST", path, "", (("content-type", "application/json"), ("host", host)), body)
    ours = dict(signed(request, AwsKey(KEY.id, KEY.secret, session), "eu-west-1", "bedrock", moment))
    assert ours["authorization"] == theirs.headers["Authorization"]


def test_a_key_of_aws_is_told_from_one_that_is_sent_as_it_stands() -> None:
    long = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    assert aws_key(f"AKIAIOSFODNN7EXAMPLE:{long}") == AwsKey("AKIAIOSFODNN7EXAMPLE", long, "")
    assert aws_key(f"ASIAIOSFODNN7EXAMPLE:{long}:{SESSION}") == AwsKey("ASIAIOSFODNN7EXAMPLE", long, SESSION)
    assert aws_key("ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl") is None
    assert aws_key("AKIAIOSFODNN7EXAMPLE:") is None


def test_a_moment_without_its_zone_signs_nothing() -> None:
    with pytest.raises(Fault):
        signed(ToSign("GET", "/", "", (HOST,), b""), KEY, "us-east-1", "service", datetime(2015, 8, 30))  # noqa: DTZ001 - the case
