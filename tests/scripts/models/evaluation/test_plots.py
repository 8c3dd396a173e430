from xml.etree import ElementTree as ET

import numpy as np
import pytest

from bentos.contract import Thresholds
from scripts.models.evaluation.plots import draw, rates
from scripts.models.evaluation.report import PLOTS


@pytest.mark.parametrize("n", [2, 200])
def test_every_plot_is_a_picture_and_the_same_each_time(n):
    rng = np.random.default_rng(n)
    p_fake, fake = rng.random(n), np.arange(n) % 2 == 0

    drawn = draw(p_fake, fake, Thresholds(low=0.3, high=0.7), title="a:1 on b")

    assert set(drawn) == set(PLOTS)
    for data in drawn.values():
        assert ET.fromstring(data).tag.endswith("svg")  # noqa: S314  # Made here.
    assert draw(p_fake, fake, Thresholds(low=0.3, high=0.7), title="a:1 on b") == drawn


def test_the_curve_runs_from_nobody_accused_to_all_found():
    accused, found = rates(np.asarray([0.1, 0.6, 0.6, 0.9]), np.asarray([False, False, True, True]))

    np.testing.assert_allclose(accused, [0, 0, 0.5, 1])
    np.testing.assert_allclose(found, [0, 0.5, 1, 1])
