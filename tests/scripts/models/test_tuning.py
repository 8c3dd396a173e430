import pytest
from google.protobuf import text_format

from scripts.models.errors import ModelsError
from scripts.models.triton_config import parse
from scripts.models.tuning import Tuning, read_tuning, write_tuning
from scripts.stack.settings import CHECKOUT

MODELS = sorted(file.parent.name for file in (CHECKOUT / "model_repository").glob("*/config.pbtxt"))
OTHER = Tuning(threads=3, instances=4, delay_us=1234, preferred=(2, 6))


def config_of(model):
    return (CHECKOUT / "model_repository" / model / "config.pbtxt").read_bytes()


@pytest.mark.parametrize("model", MODELS)
def test_only_what_is_tuned_changes(model):
    before = config_of(model)

    after = write_tuning(before, OTHER)

    assert read_tuning(after) == OTHER
    assert write_tuning(after, read_tuning(before)) == before
    old, new = before.decode().splitlines(), after.decode().splitlines()
    changed = [number for number, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    assert len(changed) == 4
    assert [line for line in new if line.startswith("#")] == [line for line in old if line.startswith("#")]


def test_what_the_file_does_not_say_is_added():
    bare = b'name: "small"\nbackend: "onnxruntime"\nmax_batch_size: 8 # of the graph\n'

    after = write_tuning(bare, OTHER)

    assert read_tuning(bare) == Tuning(threads=0, instances=1, delay_us=0, preferred=())
    assert read_tuning(after) == OTHER
    assert after.startswith(bare)
    assert write_tuning(bare, read_tuning(bare)) == bare


def test_added_figures_go_into_the_batching_that_is_there():
    some = b'name: "small"\ndynamic_batching { default_queue_policy { max_queue_size: 7 } }\n'

    after = parse(write_tuning(some, OTHER))

    assert after.dynamic_batching.max_queue_delay_microseconds == 1234
    assert after.dynamic_batching.default_queue_policy.max_queue_size == 7


def test_a_file_that_says_things_twice_is_refused():
    twice = b"instance_group [ { count: 1 } ]\ninstance_group [ { count: 2 } ]\n"

    with pytest.raises(ModelsError, match="instance_group"):
        write_tuning(twice, OTHER)


def test_no_configuration_is_told_as_such():
    with pytest.raises(text_format.ParseError):
        read_tuning(b"this is none")
