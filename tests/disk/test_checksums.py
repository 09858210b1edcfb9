from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware.disk.checksums import KINDS, Checksum, digest_of

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
MD5_OF_ABC = "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, appendix A.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"sha256:{SHA256_OF_ABC}", f"sha256:{SHA256_OF_ABC}"),
        (f" SHA256:{SHA256_OF_ABC.upper()} ", f"sha256:{SHA256_OF_ABC}"),
        (SHA256_OF_ABC, f"sha256:{SHA256_OF_ABC}"),
        (MD5_OF_ABC.upper(), f"md5:{MD5_OF_ABC}"),
        (f"md5:{MD5_OF_ABC}", f"md5:{MD5_OF_ABC}"),
        ("md5:1", "md5:1"),
    ],
)
def test_a_checksum_is_read_in_any_case_and_a_bare_one_is_known_by_its_length(text: str, expected: str) -> None:
    assert str(Checksum.parse(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "abc", "crc32:0a0b0c0d", "sha1:" + "0" * 40, "sha256:", "sha256:xyz", "0" * 40, "md5: 1", "g" * 64]
)
def test_what_is_no_checksum_of_a_known_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a checksum"):
        Checksum.parse(text)


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.binary())
def test_the_digest_of_a_file_is_a_checksum_of_its_kind(
    tmp_path_factory: pytest.TempPathFactory, kind: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "content"
    path.write_bytes(content)
    found = digest_of(path, kind)
    assert str(Checksum.parse(found)) == str(Checksum.parse(found.partition(":")[2])) == found
    assert len(Checksum.parse(found).digits) == KINDS[kind]


def test_digests_are_those_of_the_standards(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of(tmp_path / "a") == f"sha256:{SHA256_OF_ABC}"
    assert digest_of(tmp_path / "a", "md5") == f"md5:{MD5_OF_ABC}"
