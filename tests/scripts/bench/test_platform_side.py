import pytest

from scripts.bench.platform_side import PlatformError, find_groups, read_counts

METRICS = """
# HELP nv_inference_count Number of inferences performed (does not include cached requests)
nv_inference_count{model="image_cnn",version="1"} 67
nv_inference_count{model="image_cnn",version="2"} 3
nv_inference_count{model="video_lstm",version="1"} 9
nv_inference_exec_count{model="image_cnn",version="1"} 36
nv_inference_exec_count{model="image_cnn",version="2"} 3
nv_inference_count_of_something_else{model="image_cnn",version="1"} 1000
"""


def test_counts_are_summed_over_versions():
    assert read_counts(METRICS, "image_cnn") == (70, 39)


def test_an_unknown_model_has_run_nothing():
    assert read_counts(METRICS, "no_model") == (0, 0)


def test_where_no_platform_runs_there_are_no_processes(tmp_path):
    with pytest.raises(PlatformError, match="no platform is ready"):
        find_groups(tmp_path)
