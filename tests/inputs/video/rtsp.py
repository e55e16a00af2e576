"""The smallest RTSP server that a player believes in (RFC 2326): one MPEG transport stream, interleaved in its TCP."""

from __future__ import annotations

import socketserver
import struct
import threading
from types import TracebackType

_PACKETS = 7
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"


class RtspServer:
    """Sends `data`, an MPEG transport stream, over and over to everybody who plays; a second takes `bytes_per_second`.

    With a password nobody gets in.
    """

    def __init__(self, data: bytes, bytes_per_second: int, *, locked: bool = False) -> None:
        self._data, self._rate, self._locked = data, bytes_per_second, locked
        self._closing = threading.Event()
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                server.talk(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"rtsp://127.0.0.1:{self._server.server_address[1]}/door"

    def __enter__(self) -> RtspServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def talk(self, handler: socketserver.StreamRequestHandler) -> None:
        while line := handler.rfile.readline().decode():
            method, number = line.split(" ")[0], "0"
            while field := handler.rfile.readline().decode().strip():
                name, _, value = field.partition(":")
                number = value.strip() if name.lower() == "cseq" else number
            status = "401 Unauthorized" if self._locked and method != "OPTIONS" else "200 OK"
            body = _SDP if method == "DESCRIBE" else ""
            head = f"RTSP/1.0 {status}\r\nCSeq: {number}\r\nPublic: {_METHODS}\r\nSession: 1\r\n"
            head += 'WWW-Authenticate: Basic realm="door"\r\n' if self._locked else ""
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n" if method == "SETUP" else ""
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else ""
            handler.wfile.write(f"{head}\r\n{body}".encode())
            if method == "PLAY" and not self._locked:
                self._play(handler)

    def _play(self, handler: socketserver.StreamRequestHandler) -> None:
        size, sequence, sent = _PACKETS * 188, 0, 0
        while True:
            at = sent % len(self._data)
            piece = self._data[at : at + size]
            head = struct.pack(">BBHII", 0x80, 33, sequence & 0xFFFF, int(90_000 * sent / self._rate) & 0xFFFFFFFF, 1)
            handler.wfile.write(struct.pack(">cBH", b"$", 0, len(head + piece)) + head + piece)
            sequence, sent = sequence + 1, sent + len(piece)
            if self._closing.wait(len(piece) / self._rate):
                return
