"""What is found in files before anybody installs them."""

from __future__ import annotations

import gzip
import io
import site
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.packages.conftest import tarball, wheel

from bawn.packages.contents import look_into_tarball, look_into_wheel
from bawn.packages.reasons import Refused

NAMESPACE = (
    b"import sys, types, os;has_mfs = sys.version_info > (3, 5);"
    b"p = os.path.join(sys._getframe(1).f_locals['sitedir'], *('a', 'b'));"
    b"importlib = has_mfs and __import__('importlib.util');has_mfs and __import__('importlib.machinery');"
    b"m = has_mfs and sys.modules.setdefault('a.b', importlib.util.module_from_spec("
    b"importlib.machinery.PathFinder.find_spec('a.b', [os.path.dirname(p)])));"
    b"m = m or sys.modules.setdefault('a.b', types.ModuleType('a.b'));"
    b"mp = (m or []) and m.__dict__.setdefault('__path__',[]);(p not in mp) and mp.append(p)"
)
SETUPTOOLS = (
    b"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; "
    b"enabled and __import__('_distutils_hack').add_shim(); \n"
)


def starts(tmp_path: Path, files: dict[str, bytes], package: str = "tool") -> str:
    path = tmp_path / "tool.whl"
    path.write_bytes(wheel(package, "1.0", files))
    return look_into_wheel(path, package)


@pytest.mark.parametrize(
    "files",
    [
        {"tool.pth": b"import os\n"},
        {"tool.pth": b"tool_lib\nimport os\n", "tool_lib/a.py": b""},
        {"tool.pth": b"x\rimport os\n", "x/a.py": b""},
        {"tool.pth": b"\xef\xbb\xbfimport os\n"},
        {"tool.pth": b"x\x0cimport os\n", "x/a.py": b""},
        {"tool.pth": b"x\xc2\x85import os\n", "x/a.py": b""},
        {"tool.pth": b"x\x85import os\n", "x/a.py": b""},
        {"tool.pth": b"import\tos"},
        {"TOOL.PTH": b"import os"},
        {"tool.pth": NAMESPACE + b";__import__('tool')\n"},
        {"tool.pth": NAMESPACE.replace(b"'a.b'", b"'a.b' or __import__('tool')") + b"\n"},
        {"tool.pth": SETUPTOOLS},
        {"_distutils_hack/__init__.py": b""},
        {"sitecustomize.py": b""},
        {"usercustomize.cpython-311-x86_64-linux-gnu.so": b""},
        {"tool-1.0.data/platlib/sitecustomize/__init__.py": b""},
        {"tool.pth": b"tool_lib\n", "tool_lib/sitecustomize.py": b""},
        {"tool.pth": b"tool_lib/deep\n", "tool_lib/deep/usercustomize/__init__.py": b""},
        {"tool.pth": b"/workspace/lib\n"},
        {"tool.pth": b"../lib\n"},
        {"tool.pth": b"other_wheels_folder\n"},
        {"tool.pth": b"./tool_lib\n", "tool_lib/a.py": b""},
        {"tool.pth": b"#" * 300_000},
        {"tool-1.0.data/data/lib/python3.11/site-packages/x.pth": b"import os\n"},
        {"tool-1.0.data/data/lib/python3.11/os.py": b""},
        {"tool-1.0.data/data/lib64/python3/site-packages/sitecustomize.py": b""},
        {"tool-1.0.data/data/pyvenv.cfg": b""},
        {"tool-1.0.data/data/bin/python3": b""},
        {"tool-1.0.data/scripts/python": b""},
        {"tool-1.0.data/scripts/activate": b""},
        {"tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\npython3 = tool:main\n"},
    ],
    ids=repr,
)
def test_what_python_would_run_unasked_is_found(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert starts(tmp_path, files)


@pytest.mark.parametrize(
    "files",
    [
        {"tool.pth": b"tool_lib\n# a comment\n\n", "tool_lib/a.py": b""},
        {"a_b-1.0-nspkg.pth": NAMESPACE + b"\n"},
        {"a_b-1.0-nspkg.pth": NAMESPACE + b";m and setattr(sys.modules['a'], 'b', m)\n"},
        {"tool/bootstrap/sitecustomize.py": b""},
        {"tool/data.pth": b"import os\n"},
        {"tool-1.0.data/scripts/tool": b"#!python\n", "tool-1.0.data/data/share/man/man1/tool.1": b""},
        {"tool-1.0.data/scripts/activate-global-tool": b""},
        {"tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\ntool = tool:main\n[lexers]\npython = tool:lex\n"},
        {"tool-1.0.dist-info/entry_points.txt": b"not a list at all"},
    ],
    ids=repr,
)
def test_what_honest_wheels_do_is_not(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert starts(tmp_path, files) == ""


def test_known_lines_are_known_for_one_package_alone(tmp_path: Path) -> None:
    lines = {"distutils-precedence.pth": SETUPTOOLS, "_distutils_hack/__init__.py": b""}
    assert starts(tmp_path, lines, "setuptools") == ""
    assert starts(tmp_path, lines, "tool")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.sampled_from(
            [b"import", b" ", b"\t", b"\r", b"\n", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8",
             b"\xef\xbb\xbf", b"x", b"#", b";", b"\0", b"\xff"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_whatever_python_itself_runs_of_a_path_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(site, "exec", ran.append, raising=False)
    content = b"".join(pieces)
    (tmp_path / "tool.pth").write_bytes(content)
    try:
        site.addpackage(str(tmp_path), "tool.pth", set())
    except (UnicodeDecodeError, ValueError):
        ran.append("stopped half-way, as versions differ")
    if any(each.startswith("import") for each in ran):
        assert starts(tmp_path, {"tool.pth": content})


# Zip files that are not the same for every reader


def _plain() -> bytes:
    return wheel("tool", "1.0", {"more.py": b"2\n"})


def _before(data: bytes) -> bytes:
    return b"#!/bin/sh\n" + data


def _after(data: bytes) -> bytes:
    return data + b"more"


def _renamed(data: bytes) -> bytes:
    """The header before the bytes says another name than the list."""
    return data.replace(b"more.py", b"evil.py", 1)


def _hidden(data: bytes) -> bytes:
    """A member that is in the list no more."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start, count = archive.start_dir, len(archive.infolist())
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    end = bytearray(data[data.rindex(b"PK\x05\x06") :])
    listed = data[second : data.rindex(b"PK\x05\x06")]
    struct.pack_into("<HHII", end, 8, count - 1, count - 1, len(listed), start)
    return data[:start] + listed + bytes(end)


def _commented(data: bytes) -> bytes:
    made = io.BytesIO(data)
    with zipfile.ZipFile(made, "a") as archive:
        archive.comment = b"PK\x05\x06" + b"\0" * 18
    return made.getvalue()


def _encrypted(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def _swollen(data: bytes) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<I", changed, data.index(b"PK\x01\x02") + 24, 0xFFFFFFF0)
    return bytes(changed)


def _link(data: bytes) -> bytes:
    made = io.BytesIO(data)
    with zipfile.ZipFile(made, "a") as archive:
        member = zipfile.ZipInfo("tool_link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    return made.getvalue()


def _twice(data: bytes) -> bytes:
    made = io.BytesIO(data)
    with zipfile.ZipFile(made, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("tool.py", "other = 1\n")
    return made.getvalue()


@pytest.mark.parametrize(
    "change",
    [_before, _after, _renamed, _hidden, _commented, _encrypted, _swollen, _link, _twice, lambda data: data[:-30]],
)
def test_a_zip_file_that_readers_may_differ_about_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "tool.whl"
    path.write_bytes(change(_plain()))
    with pytest.raises(Refused, match="was refused") as refused:
        look_into_wheel(path, "tool")
    assert refused.value.code == "packages.hostile"


def test_zip_files_of_other_writers_are_fine(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """Cannot be sought, so that sizes stand after the bytes."""

        def __init__(self) -> None:
            self.made = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.made += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tool/__init__.py", "x = 1\n" * 100)
        with archive.open("tool/large.py", "w", force_zip64=True) as member:
            member.write(b"y = 1\n")
        archive.comment = b"made by a test"
    path = tmp_path / "tool.whl"
    path.write_bytes(bytes(pipe.made))
    assert look_into_wheel(path, "tool") == ""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 700), byte=st.integers(0, 255), cut=st.integers(0, 900))
def test_a_damaged_file_is_refused_or_read_and_never_more(tmp_path: Path, at: int, byte: int, cut: int) -> None:
    for data, look in ((_plain(), look_into_wheel), (tarball("tool"), look_into_tarball)):
        changed = bytearray(data)
        changed[at % len(changed)] = byte
        path = tmp_path / "file"
        path.write_bytes(bytes(changed)[: len(changed) - cut % 40])
        codes = {"packages.hostile"}
        try:
            look(path, "tool")
        except Refused as refused:
            codes.add(refused.code)
        assert len(codes) == 1


# Tar files


def _tar(*members: tuple[str, bytes, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return made.getvalue()


def _tar_look(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tool.tgz"
    path.write_bytes(gzip.compress(data))
    look_into_tarball(path, "tool")


def test_a_link_to_a_file_of_the_same_tarball_is_fine(tmp_path: Path) -> None:
    _tar_look(tmp_path, _tar(("package/a", tarfile.REGTYPE, ""), ("package/b", tarfile.LNKTYPE, "package/a")))


@pytest.mark.parametrize(
    "data",
    [
        _tar(("package/b", tarfile.LNKTYPE, "package/a"), ("package/a", tarfile.REGTYPE, "")),
        _tar(("package/a", tarfile.SYMTYPE, "b")),
        _tar(("package/a", tarfile.FIFOTYPE, "")),
        _tar(("package/a", tarfile.REGTYPE, "")).rstrip(b"\0") + b"\0" * 2048 + b"more",
    ],
    ids=["link before its file", "symlink", "fifo", "something after the end"],
)
def test_a_tarball_with_tricks_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Refused):
        _tar_look(tmp_path, data)


def test_nothing_hides_behind_a_damaged_header(tmp_path: Path) -> None:
    one, hidden = _tar(("package/a", tarfile.REGTYPE, "")), _tar(("package/x", tarfile.SYMTYPE, "/etc"))
    damaged = bytearray(one[:512])
    damaged[148] ^= 1
    with pytest.raises(Refused):
        _tar_look(tmp_path, one[:512] + bytes(damaged) + hidden)


def test_a_small_file_that_swells_is_refused_before_it_did(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/large")
        member.size = 600 * 2**20
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    path = tmp_path / "tool.tgz"
    path.write_bytes(made.getvalue())
    with pytest.raises(Refused, match="too large"):
        look_into_tarball(path, "tool")
