from scripts.models.fbank import KaldiFeatures


def test_the_length_of_a_sound_that_fills_all_frames():
    assert KaldiFeatures(bands=128, frames=1024, mean=0, deviation=1).samples == 164_080
