"""What is secret in an address is not told."""

from __future__ import annotations

import pytest

from mrcnn_cv.util.redact import redact_url


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("rtsp://admin:secret@10.0.0.5:554/stream", "rtsp://admin:***@10.0.0.5:554/stream"),
        ("rtsp://admin:12345@10.0.0.5/", "rtsp://admin:***@10.0.0.5/"),
        ("rtsp://admin:se@cret@host/x", "rtsp://admin:***@host/x"),
        ("rtsp://admin:se/c?r#et@host/x", "rtsp://admin:***@host/x"),
        ("RTSP://me@mail.example:secret@host/x", "RTSP://me@mail.example:***@host/x"),
        ("http://host/x.jpg?password=secret&size=1", "http://host/x.jpg?password=***&size=1"),
        ("http://host/x?usr=me&pwd=secret", "http://host/x?usr=me&pwd=***"),
        ("https://host/x?a=1&access_token=se/cr=et", "https://host/x?a=1&access_token=***"),
        ("https://host/x?X-Amz-Signature=secret&api_key=secret", "https://host/x?X-Amz-Signature=***&api_key=***"),
        ("rtsp://host:554/user=me&password=secret&channel=1", "rtsp://host:554/user=me&password=***&channel=1"),
        ("http://u:secret@host/x.png?token=secret", "http://u:***@host/x.png?token=***"),
        ("http:/u:secret@host/x.png", "http:/u:***@host/x.png"),
    ],
)
def test_passwords_and_the_like_are_hidden(address: str, told: str) -> None:
    assert redact_url(address) == told


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://camera/a@b:c",
            "http://host:8080/icon@2x.png",
            "http://host:8080/x?size=1&mail=a@b",
            "rtsp://me@host/x",
        ),
        *(
            "http://[::1]:8080/icon@2x.png",
            "udp://@239.0.0.1:1234",
            "0",
            "/dev/video0",
            r"C:\key=1.png",
            "key=1.png",
            "-",
        ),
    ],
)
def test_everything_else_stays_as_it_is(address: str) -> None:
    assert redact_url(address) == address
