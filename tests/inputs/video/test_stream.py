"""Streams from the network: against a server on this machine that fails in every way."""

from __future__ import annotations

import http.server
import io
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video.stream import Stream, _StreamClock
from mrcnn_cv.structures.frame import Frame, FrameError
from tests.inputs.video.live_contract import check_live_source
from tests.inputs.video.mjpeg import MjpegServer, number_of, picture
from tests.inputs.video.rtsp import RtspServer

SECONDS = 0.5
"""Time-out of the streams that are to run into it."""

PLENTY = 20.0


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images at 10 per second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def served(clip: Path) -> Iterator[str]:
    """The address of that clip."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(clip.parent))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{clip.name}"
    server.shutdown()
    server.server_close()


def frames_of(source: Stream) -> list[Frame]:
    return [taken for taken in source if isinstance(taken, Frame)]


def test_contract_of_a_recording_on_a_server(served: str) -> None:
    check_live_source(lambda: Stream(served, PLENTY))


def test_contract_of_a_network_camera() -> None:
    with MjpegServer([(20, "close"), (20, "close")]) as server:
        check_live_source(lambda: Stream(server.url(), PLENTY))


def test_all_frames_of_a_recording_with_its_own_times(served: str) -> None:
    with Stream(served, PLENTY) as source:
        assert source.info.seconds == pytest.approx(2.0, abs=0.2)
        assert source.info.frame_rate == pytest.approx(10)
        frames = frames_of(source)
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(20)], abs=1e-6)
    assert source.damaged == 0


def test_network_camera_gives_every_picture_by_the_clock() -> None:
    with MjpegServer([(10, "close")]) as server, Stream(server.url(), PLENTY) as source:
        assert source.info.frame_rate is None
        assert source.info.seconds is None
        assert [number_of(frame.image) for frame in frames_of(source)] == list(range(10))


def test_a_stream_that_stalls_is_given_up() -> None:
    with MjpegServer([(5, "stall")]) as server, Stream(server.url(), SECONDS) as source:
        last = list(source)[-1]
    assert isinstance(last, FrameError)
    assert "has sent nothing for" in str(last.error)
    assert last.index > 0


def test_damaged_pictures_are_counted_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third JPEG is noise behind its head."""
    import cv2

    encode, sent = cv2.imencode, [0]

    def sometimes_broken(kind: str, image: object) -> object:
        done, data = encode(kind, image)  # type: ignore[call-overload]
        sent[0] += 1
        if sent[0] > 5 and sent[0] % 3 == 0:
            data = data[:20]
        return done, data

    monkeypatch.setattr(cv2, "imencode", sometimes_broken)
    with MjpegServer([(20, "close")]) as server, Stream(server.url(), PLENTY) as source:
        frames = frames_of(source)
    assert source.damaged == 5
    assert [frame.index for frame in frames] == list(range(15))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/silent", "sends nothing, after"),
        ("/empty.mjpg", "sends nothing, after"),
        ("/text", "sends no images"),
        ("/password", "asks for a user name and a password"),
        ("/nowhere.mjpg", "the server answers 404"),
    ],
)
def test_an_address_that_is_no_stream(path: str, says: str) -> None:
    with MjpegServer([]) as server, pytest.raises(InputError, match=says) as caught:
        Stream(server.url(path), SECONDS)
    assert str(caught.value).startswith(server.url(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("rtsp://127.0.0.1:1/door", "the connection was refused"),
        ("nonsense://127.0.0.1/", "a protocol that this PyAV does not know"),
        ("http://[::1/x.mjpg", "cannot be opened"),
        # A list of streams from the network must not name files of this machine, nor may an address.
        ("file:///etc/hostname", "cannot be opened"),
    ],
)
def test_an_address_that_leads_nowhere(address: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Stream(address, SECONDS)


def test_a_list_of_streams_cannot_name_files_of_this_machine(clip: Path, served: str) -> None:
    secret = clip.with_name("secret.ts")
    shutil.copy(clip, secret)
    playlist = clip.with_name("list.m3u8")
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match=r"list\.m3u8 .*check the address"):
        Stream(served.replace(clip.name, playlist.name), SECONDS)


def test_nothing_ever_comes_by_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(InputError, match="sends nothing, after"):
        Stream(f"udp://127.0.0.1:{port}", SECONDS)


def test_a_stream_of_sound_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sound.ts"
    with av.open(str(path), "w", format="mpegts") as file:
        stream = file.add_stream("mp2", rate=44100)
        silence = av.AudioFrame(format="s16", layout="stereo", samples=1152)
        silence.sample_rate = 44100
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        for number in range(20):
            silence.pts = number * 1152
            file.mux(stream.encode(silence))
        file.mux(stream.encode(None))
    open_file = av.open
    monkeypatch.setattr(av, "open", lambda *_, **__: open_file(str(path)))
    with pytest.raises(InputError, match=r"holds no images \(only sound\)"):
        Stream("http://radio.example/", SECONDS)


def test_pictures_beyond_all_measure_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrcnn_cv.inputs.video.stream.MAX_PIXELS", 64 * 48 - 1)
    with MjpegServer([(5, "close")]) as server, pytest.raises(InputError, match="images of 64x48"):
        Stream(server.url(), SECONDS)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        Stream("rtsp://admin:secret@127.0.0.1:1/door", SECONDS)
    assert "secret" not in str(caught.value)


def test_times_go_by_the_stream_as_long_as_they_make_sense() -> None:
    clock = _StreamClock()
    stamps = [(100.0, 0.0), (100.5, 0.1), (3.0, 2.0), (3.5, 9.0), (None, 10.0), (None, 10.5), (500.0, 11.0)]
    seconds = [clock.seconds(stamp, 50.0 + now) for stamp, now in stamps]
    assert seconds == pytest.approx([0.0, 0.5, 2.0, 2.5, 10.0, 10.5, 11.0])


@pytest.fixture(scope="session")
def transport_stream() -> bytes:
    """Two seconds of 25 images each as MPEG-TS."""
    data = io.BytesIO()
    with av.open(data, "w", format="mpegts") as file:
        stream = file.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        file.mux(stream.encode(None))
    return data.getvalue()


def test_rtsp(transport_stream: bytes) -> None:
    with RtspServer(transport_stream, len(transport_stream)) as server, Stream(server.url, PLENTY) as source:
        assert source.info.codec == "mpeg4"
        frames = [taken for taken, _ in zip(source, range(30), strict=False) if isinstance(taken, Frame)]
    assert len(frames) >= 15
    assert [frame.index for frame in frames] == list(range(len(frames)))


def test_rtsp_behind_a_password(transport_stream: bytes) -> None:
    with (
        RtspServer(transport_stream, len(transport_stream), locked=True) as server,
        pytest.raises(InputError, match="asks for a user name and a password"),
    ):
        Stream(server.url, PLENTY)


ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg, which sends the stream")


@ffmpeg
def test_udp(clip: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{free.getsockname()[1]}"
    # fmt: off
    command = ["ffmpeg", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c:v", "mpeg4",
               "-f", "mpegts", address]
    # fmt: on
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as sender:
        try:
            with Stream(address, PLENTY) as source:
                found = [taken for taken, _ in zip(source, range(12), strict=False)]
        finally:
            sender.kill()
    assert source.info.codec == "mpeg4"
    assert sum(isinstance(taken, Frame) for taken in found) >= 5


@ffmpeg
def test_rtmp(clip: Path) -> None:
    """FFmpeg as the server: it listens, and sends to whoever comes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"rtmp://127.0.0.1:{free.getsockname()[1]}/live/door"
    # fmt: off
    command = ["ffmpeg", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c:v", "flv",
               "-f", "flv", "-listen", "1", address]
    # fmt: on
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as sender:
        try:
            source = _open_when_it_listens(address)
            with source:
                found = [taken for taken, _ in zip(source, range(12), strict=False)]
        finally:
            sender.kill()
    assert any(isinstance(taken, Frame) for taken in found)


def _open_when_it_listens(address: str) -> Stream:
    pause = threading.Event()
    for _ in range(100):
        try:
            return Stream(address, PLENTY)
        except InputError as error:
            if "refused" not in str(error):
                raise
            pause.wait(0.1)
    raise AssertionError("nobody listens")
