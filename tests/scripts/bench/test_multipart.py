import email.parser
import email.policy

import pytest

from scripts.bench.multipart import Answer, MalformedAnswerError, encode_file, encode_post, read_answer


def test_multipart_body_is_read_back_by_the_standard_library():
    content = bytes(range(256)) * 3
    body = encode_file("file", "a face.jpg", content, media_type="image/jpeg", boundary="xyz-1")
    request = encode_post("/p", "localhost:1", body, boundary="xyz-1", headers={"x-api-key": "k"})
    head, _, rest = request.partition(b"\r\n")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(rest)

    (part,) = message.iter_parts()

    assert head == b"POST /p HTTP/1.1"
    assert message["x-api-key"] == "k"
    assert int(message["Content-Length"]) == len(body)
    assert part.get_param("name", header="Content-Disposition") == "file"
    assert part.get_filename() == "a face.jpg"
    assert part.get_payload(decode=True) == content


def test_boundary_inside_the_file_is_refused():
    with pytest.raises(ValueError, match="boundary"):
        encode_file("file", "a.jpg", b"..xyz..", media_type="image/jpeg", boundary="xyz")


@pytest.mark.parametrize("name", ['a".jpg', "a\r\n.jpg"])
def test_names_that_would_break_the_header_are_refused(name):
    with pytest.raises(ValueError, match="not supported"):
        encode_file("file", name, b"", media_type="image/jpeg", boundary="xyz")


def test_answer_is_read_once_it_is_whole():
    whole = b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\nx: y\r\n\r\nbody"

    assert all(read_answer(whole[:length]) is None for length in range(len(whole)))
    assert read_answer(whole + b"HTTP/1.1 200") == (Answer(201, b"body"), len(whole))


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1\r\n\r\n"],
)
def test_answers_without_a_length_are_refused(answer):
    with pytest.raises(MalformedAnswerError):
        read_answer(answer)
