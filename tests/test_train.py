"""train_model.py: splits, augmentation, and training on clips that are easy to tell apart."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import sentimental
import train_model
from sentimental import EMOTIONS, N_FEATURES, N_MELS, N_STORED, SentimentalError

ROOT = Path(__file__).resolve().parent.parent


def make_recordings(n=96, seed=0):
    """Clips whose emotion shows in RMS and zero-crossing rate: eight points on a circle."""
    rng = np.random.default_rng(seed)
    recordings = []
    for number in range(n):
        emotion = number % len(EMOTIONS)
        n_frames = rng.integers(12, 40)
        mfcc = rng.standard_normal((n_frames, N_MELS))
        angle = 2 * np.pi * emotion / len(EMOTIONS)
        others = np.array([0.3 + 0.2 * np.cos(angle), 0.3 + 0.2 * np.sin(angle)])
        others = others + 0.01 * rng.standard_normal((n_frames, 2))
        recordings.append(
            {
                "file": f"{number:03}.wav",
                "hash": f"{number}",
                "corpus": "TESS" if number % 3 else "RAVDESS",
                "speaker": str(number % 5),
                "emotion": EMOTIONS[emotion],
                "condition": "",
                "frames": np.concatenate([mfcc, others], axis=1).astype(np.float32),
            }
        )
    return recordings


@pytest.fixture
def quick(monkeypatch):
    """Train for four epochs of small batches, with a checkpoint after each."""
    monkeypatch.setattr(train_model, "EPOCHS", {"random": 4})
    monkeypatch.setattr(train_model, "N_COMMITTEE", 2)
    monkeypatch.setattr(train_model, "BATCH_SIZE", 8)
    monkeypatch.setattr(train_model, "CHECKPOINT_SECONDS", -1)


# Splits


def test_the_random_split_is_the_protocols():
    train, validation, test = train_model.split_random(4240)
    assert (len(train), len(validation), len(test)) == (3710, 368, 162)
    assert sorted([*train, *validation, *test]) == list(range(4240))
    assert (list(train[:3]), list(test[:3])) == ([2707, 3959, 1534], [1742, 3595, 2779])


def test_another_seed_is_another_split():
    first, second = (set(train_model.split_random(4240, seed)[2]) for seed in (1, 2))
    assert len(first & second) < 30


def corpora():
    """One recording of each speaker and emotion of both corpora, with hardly any frames."""
    frames = np.ones((2, N_STORED), np.float32)
    speakers = [("RAVDESS", f"{actor:02}") for actor in range(1, 25)]
    speakers += [("TESS", "OAF"), ("TESS", "YAF")]
    return [
        {
            "file": f"{corpus}_{speaker}_{emotion}",
            "hash": "",
            "corpus": corpus,
            "speaker": speaker,
            "emotion": emotion,
            "condition": "",
            "frames": frames,
        }
        for corpus, speaker in speakers
        for emotion in EMOTIONS
        if corpus == "RAVDESS" or emotion != "calm"
    ]


def files(recordings):
    return {recording["file"] for recording in recordings}


def speakers(recordings):
    return {recording["speaker"] for recording in recordings}


@pytest.mark.parametrize("protocol", ["speaker", "tess-speaker", "corpus"])
def test_no_recording_and_no_tested_speaker_is_on_both_sides(protocol):
    for training, validation, test in train_model.protocol_folds(protocol, corpora()):
        assert not files(training) & files(validation)
        assert not speakers(test) & (speakers(training) | speakers(validation))


def test_the_folds_of_actors_test_each_actor_once():
    folds = train_model.protocol_folds("speaker", corpora())
    tested = [name for _, _, test in folds for name in sorted(speakers(test))]
    assert sorted(tested) == [f"{actor:02}" for actor in range(1, 25)]
    for training, validation, test in folds:
        assert not speakers(training) & speakers(validation)
        assert len(speakers(training) | speakers(validation) | speakers(test)) == 24


def test_protocol_corpus_knows_no_calm_and_trains_on_one_corpus():
    for training, validation, test in train_model.protocol_folds("corpus", corpora()):
        assert len({recording["corpus"] for recording in training + validation}) == 1
        assert "calm" not in {r["emotion"] for r in training + validation + test}


def test_a_protocol_without_its_corpora_is_refused():
    tess, ravdess = ([r for r in corpora() if r["corpus"] == c] for c in ("TESS", "RAVDESS"))
    with pytest.raises(SentimentalError, match="needs recordings of RAVDESS"):
        train_model.protocol_folds("speaker", tess)
    with pytest.raises(SentimentalError, match="needs recordings of TESS"):
        train_model.protocol_folds("corpus", ravdess)
    assert len(train_model.protocol_folds("speaker", ravdess)) == 5
    few = [recording for recording in ravdess if recording["speaker"] != "03"]
    some = [recording for recording in corpora() if recording["speaker"] not in ("03", "06", "YAF")]
    assert len(train_model.protocol_folds("speaker", few)) == 5
    with pytest.raises(SentimentalError, match="all 24 actors"):
        train_model.protocol_folds("speaker", some)
    with pytest.raises(SentimentalError, match="both actresses"):
        train_model.protocol_folds("tess-speaker", some)


# Augmentation


@pytest.fixture
def batch():
    rng = np.random.default_rng(3)
    lengths = np.array([20, 33, 40])
    clips = np.zeros((3, 40, N_STORED), np.float32)
    for clip, length in zip(clips, lengths, strict=True):
        clip[:length, :N_MELS] = rng.normal(0, 10, (length, N_MELS))  # dB
        clip[:length, N_MELS:] = rng.uniform(0.1, 0.5, (length, 2))
    return clips, lengths


@pytest.fixture
def unchanged(monkeypatch):
    """Leave out all of the augmentation that a test does not switch on."""
    for name in ("TELEPHONE_SHARE", "ROOM_SHARE", "NOISE_SHARE", "BABBLE_SHARE"):
        monkeypatch.setattr(train_model, name, 0.0)
    for name in ("OCTAVE_DB", "TILT_DB", "CONTRAST", "GAIN_DB", "JITTER", "STRETCH", "WARP"):
        monkeypatch.setattr(train_model, name, 0.0)
    monkeypatch.setattr(train_model, "END_FRAMES", 0)
    monkeypatch.setattr(train_model, "N_TIME_MASKS", 0)


MEAN, STD = np.zeros(N_FEATURES), np.ones(N_FEATURES)
MATRICES = train_model.vocal_tract_matrices()
SAME_VOICE = np.eye(N_MELS, dtype=np.float32)[None]


def test_augmented_clips_are_padded_with_zeros_and_nowhere_else(batch):
    rng = np.random.default_rng(0)
    features, lengths = train_model.augment(*batch, MEAN + 0.1, STD, MATRICES, rng)
    assert features.dtype == np.float32
    assert features.shape == (3, train_model.CROP_FRAMES, N_FEATURES)
    for used, length, old in zip(features.any(axis=-1), lengths, batch[1], strict=True):
        assert used[:length].all()
        assert not used[length:].any()
        assert 0.75 * old / (1 + train_model.STRETCH) - 1 <= length
        assert length <= old * (1 + train_model.STRETCH) + 1


def test_without_augmentation_the_features_are_those_of_prediction(batch, unchanged):
    clips, lengths = batch
    rng = np.random.default_rng(0)
    features, new_lengths = train_model.augment(clips, lengths, MEAN, STD, SAME_VOICE, rng)
    expected = sentimental.make_features(clips[..., :N_MELS], clips[..., N_MELS:], lengths)
    assert list(new_lengths) == list(lengths)
    np.testing.assert_allclose(features[:, :40], expected, atol=1e-3)


def test_augmentation_never_reads_the_padding(batch):
    clips, lengths = batch
    dirty = clips.copy()
    for clip, length in zip(dirty, lengths, strict=True):
        clip[length:] = 50
    clean, noisy = (
        train_model.augment(x, lengths, MEAN, STD, MATRICES, np.random.default_rng(5))[0]
        for x in (clips, dirty)
    )
    np.testing.assert_array_equal(clean, noisy)


def test_warping_time_keeps_first_and_last_frame(batch, monkeypatch):
    monkeypatch.setattr(train_model, "END_FRAMES", 0)
    clips, lengths = batch
    warped, new_lengths = train_model.warp_time(clips, lengths, np.random.default_rng(1))
    for number in range(len(clips)):
        np.testing.assert_allclose(warped[number, 0], clips[number, 0], atol=1e-3)
        np.testing.assert_allclose(
            warped[number, new_lengths[number] - 1], clips[number, lengths[number] - 1], atol=1e-2
        )


def test_of_a_long_clip_a_part_is_drawn_and_of_a_short_one_all(monkeypatch, unchanged):
    clips = np.tile(np.arange(150.0)[None, :, None], (2, 1, 3))
    firsts = set()
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn, lengths = train_model.warp_time(clips, np.array([20, 150]), rng)
        assert list(lengths) == [20, train_model.CROP_FRAMES]
        np.testing.assert_allclose(drawn[0, :20, 0], np.arange(20), atol=1e-3)
        first, last = drawn[1, [0, -1], 0]
        assert last - first == pytest.approx(train_model.CROP_FRAMES, abs=1)
        assert last < 149.5
        firsts.add(round(first))
    assert len(firsts) > 10


def test_a_higher_voice_has_its_formants_higher():
    matrices = train_model.vocal_tract_matrices()
    centres, _ = sentimental.mel_bands()
    formant = np.exp(-0.5 * ((centres - 1500) / 250) ** 2)

    def peak(mel):
        return centres[mel.argmax()]

    assert peak(formant @ matrices[len(matrices) // 2]) == pytest.approx(1500, rel=0.03)
    ends = sorted([peak(formant @ matrices[0]), peak(formant @ matrices[-1])])
    limit = np.exp(train_model.VOCAL_TRACT)
    assert ends == pytest.approx([1500 / limit, 1500 * limit], rel=0.04)


def mel_power(mel):
    _, widths = sentimental.mel_bands()
    return 10 ** (mel / 10) @ widths


@pytest.mark.parametrize("share", ["NOISE_SHARE", "BABBLE_SHARE"])
def test_what_is_added_is_so_far_below_the_speech(batch, unchanged, monkeypatch, share):
    monkeypatch.setattr(train_model, share, 1.0)
    monkeypatch.setattr(train_model, "SNR", (10.0, 10.0))
    clips, lengths = batch[0][2:], batch[1][2:]  # no padding, and the only voice in the babble
    mel, others = clips[..., :N_MELS], clips[..., N_MELS:]
    changed, levels = train_model.change_recording(
        mel, others, lengths, SAME_VOICE, np.random.default_rng(0)
    )
    gain = mel_power(changed).max() / mel_power(mel).max()  # the peak is where it was
    assert gain == pytest.approx(1, rel=1e-3)
    louder = mel_power(changed).sum() / mel_power(mel).sum()
    rms_louder = (levels[..., 0] ** 2).sum() / (others[..., 0] ** 2).sum()
    assert rms_louder == pytest.approx(louder, rel=1e-3)
    assert (changed.min() > mel.min() + 5).all()  # the valleys are filled


def test_noise_is_heard_in_a_silent_frame_and_measured_against_the_speech(unchanged, monkeypatch):
    monkeypatch.setattr(train_model, "NOISE_SHARE", 1.0)
    monkeypatch.setattr(train_model, "SNR", (10.0, 10.0))
    mel = np.zeros((1, 80, N_MELS), np.float32)
    mel[:, 0] = -60.0
    others = np.full((1, 80, 2), 0.3, np.float32)
    others[:, 0, 0] = 0.0  # RMS
    changed, others = train_model.change_recording(  # all but 20 frames are padding
        mel, others, np.array([20]), SAME_VOICE, np.random.default_rng(0)
    )
    level = mel_power(changed[0, :20])
    for power in (level, others[0, :20, 0] ** 2):
        # Noise alone is heard in the first frame, the speech as well in the 19 others.
        assert power[0] / power[1:].mean() == pytest.approx(0.1 * 0.95 / (1 + 0.1 * 0.95), rel=0.3)


def test_louder_and_softer_get_farther_apart_in_spectrum_and_rms(unchanged, monkeypatch):
    monkeypatch.setattr(train_model, "CONTRAST", 0.3)
    mel = np.zeros((40, 10, N_MELS), np.float32)
    mel[:, 5:] = -20.0
    others = np.full((40, 10, 2), 0.5, np.float32)
    others[:, 5:, 0] = 0.05
    changed, others = train_model.change_recording(
        mel, others, np.full(40, 10), SAME_VOICE, np.random.default_rng(0)
    )
    distance = changed[:, 0, 0] - changed[:, 9, 0]
    assert 20 * np.exp(-0.3) <= distance.min() < 17
    assert 24 < distance.max() <= 20 * np.exp(0.3)
    np.testing.assert_allclose(
        20 * np.log10(others[:, 0, 0] / others[:, 9, 0]), distance, rtol=1e-3
    )
    np.testing.assert_allclose(others[..., 1], 0.5, rtol=1e-3)  # of all bands alike


def test_a_higher_voice_crosses_zero_more_often(unchanged):
    centres, _ = sentimental.mel_bands()
    mel = np.zeros((1, 10, N_MELS), np.float32)
    mel += 60 * np.exp(-0.5 * ((centres - 1500) / 250) ** 2)
    others = np.full((1, 10, 2), 0.2, np.float32)
    rates = sorted(
        train_model.change_recording(
            mel, others, np.array([10]), matrix[None], np.random.default_rng(0)
        )[1][0, 0, 1]
        for matrix in (MATRICES[0], MATRICES[-1])
    )
    limit = np.exp(train_model.VOCAL_TRACT)
    assert rates == pytest.approx([0.2 / limit, 0.2 * limit], rel=0.04)


def test_zero_crossings_of_two_sounds_lie_between_those_of_each(batch, unchanged, monkeypatch):
    monkeypatch.setattr(train_model, "NOISE_SHARE", 1.0)
    monkeypatch.setattr(train_model, "NOISE_TILT_DB", (0.0, 0.0))
    mel, others, lengths = batch[0][..., :N_MELS], batch[0][..., N_MELS:].copy(), batch[1]
    others[..., 1] = 0.1
    white = 1 / np.sqrt(3)  # of white noise: the root mean square of 0 to 1
    means = []
    for snr in (60.0, 0.0, -60.0):
        monkeypatch.setattr(train_model, "SNR", (snr, snr))
        _, changed = train_model.change_recording(
            mel, others, lengths, SAME_VOICE, np.random.default_rng(0)
        )
        means.append(changed[2, :, 1].mean())
    assert means[0] == pytest.approx(0.1, rel=0.01)
    assert 0.2 < means[1] < 0.5
    assert means[2] == pytest.approx(white, rel=0.05)


def test_an_echo_dies_away_in_its_time(monkeypatch):
    monkeypatch.setattr(train_model, "REVERBERATION", (0.3, 0.3))
    monkeypatch.setattr(train_model, "ECHO_DB", (0.0, 0.0))
    power = np.zeros((1, 60, N_MELS), np.float32)
    power[:, 5] = 1.0
    echoed = train_model.add_echo(power, np.random.default_rng(0))[0, :, 0]
    assert not echoed[:5].any()
    assert echoed[5] == 1.0
    assert echoed[6:].sum() == pytest.approx(1, rel=1e-3)  # as strong as the direct sound
    frames = 0.3 * sentimental.SAMPLE_RATE / sentimental.HOP_LENGTH
    assert 10 * np.log10(echoed[6] / echoed[16]) == pytest.approx(60 * 10 / frames, rel=1e-3)


def test_a_telephone_lets_the_middle_pass():
    centres, _ = sentimental.mel_bands()
    mel = train_model.through_telephone(np.zeros((5, 1, N_MELS)), np.random.default_rng(0))[:, 0]
    assert not mel[:, (centres > 400) & (centres < 3000)].any()
    assert (mel[:, centres < 75] <= -24).all()
    assert (mel[:, centres > 7000] < -14).all()


def test_gaps_are_within_the_speech_and_are_not_taken_for_padding():
    features = np.ones((4, 50, N_FEATURES), np.float32)
    lengths = np.array([50, 40, 30, 20])
    for features_row, length in zip(features, lengths, strict=True):
        features_row[length:] = 0
    hidden = train_model.hide(features, lengths, np.random.default_rng(0))
    assert 0 < (hidden == train_model.ALMOST_ZERO).all(axis=-1).sum() < 60
    np.testing.assert_array_equal(hidden.any(axis=-1), features.any(axis=-1))


# Training


def test_a_training_repeats_itself_and_a_stopped_one_ends_the_same(quick, tmp_path, monkeypatch):
    recordings = make_recordings()
    held_out = recordings[:8]
    expected, history = train_model.train(recordings, held_out, 4, 1, tmp_path / "whole.npz")
    other, _ = train_model.train(recordings, held_out, 4, 2, tmp_path / "other.npz")
    assert not np.allclose(other.get_weights()[0], expected.get_weights()[0], atol=1e-3)

    save = train_model.save_checkpoint

    def stop_after_second_epoch(path, state, arrays):
        save(path, state, arrays)
        if len(state["history"]["loss"]) == 2:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "stopped.npz"
    with monkeypatch.context() as patch:
        patch.setattr(train_model, "save_checkpoint", stop_after_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            train_model.train(recordings, held_out, 4, 1, checkpoint)
    resumed, resumed_history = train_model.train(recordings, held_out, 4, 1, checkpoint)
    assert resumed_history["loss"] == history["loss"]
    for one, two in zip(expected.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_committee_learns_from_its_mean_and_a_network_alone_from_labels(monkeypatch):
    keras = sentimental.import_keras()
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    features = np.stack([rng.standard_normal((8, 12, N_FEATURES)).astype(np.float32)] * 2)
    weights = np.zeros((2, 8, 12), np.float32)
    weights[..., -1] = 1
    labels = np.eye(8, dtype=np.float32)

    def distance_after(weight):
        """How far apart the answers of two networks are that saw the batch 30 times."""
        monkeypatch.setattr(train_model, "COMMITTEE_WEIGHT", weight)
        keras.utils.set_random_seed(1)
        committee = [train_model.build_network(training=True) for _ in range(2)]
        optimizers = [keras.optimizers.AdamW(3e-3) for _ in committee]
        for network, optimizer in zip(committee, optimizers, strict=True):
            optimizer.build(network.trainable_variables)
        step = train_model.compile_step(committee, optimizers)
        losses = [float(step(features, weights, labels)[0]) for _ in range(30)]
        one, two = (
            np.array(network(x))[:, -1] for network, x in zip(committee, features, strict=True)
        )
        return losses, np.abs(one - two).mean()

    alone, together = distance_after(0.0), distance_after(0.9)
    assert alone[0][0] == pytest.approx(together[0][0])  # the same first weights
    assert alone[0][-1] < 0.7 * alone[0][0]
    assert together[1] < 0.7 * alone[1]


def test_a_checkpoint_of_another_training_is_not_used(tmp_path, capsys, monkeypatch):
    path = tmp_path / "c.npz"
    recordings = make_recordings(8)
    mark = train_model.fingerprint(recordings, 4, 1)
    train_model.save_checkpoint(path, {"fingerprint": mark, "n_steps": 3}, [np.ones(2)])
    state, arrays = train_model.load_checkpoint(path, mark)
    assert state["n_steps"] == 3
    np.testing.assert_array_equal(arrays, [np.ones(2)])

    others = [
        train_model.fingerprint(recordings, 4, 2),
        train_model.fingerprint(recordings, 5, 1),
        train_model.fingerprint(recordings[1:], 4, 1),
    ]
    monkeypatch.setattr(train_model, "BATCH_SIZE", 16)
    others.append(train_model.fingerprint(recordings, 4, 1))
    for other in others:
        assert train_model.load_checkpoint(path, other) is None
    assert capsys.readouterr().out.count("training starts anew") == 4
    path.write_bytes(b"damaged")
    assert train_model.load_checkpoint(path, mark) is None


def test_what_can_be_learnt_is_learnt_and_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(train_model, "BATCH_SIZE", 16)
    monkeypatch.setattr(train_model, "AVERAGE_MOMENTUM", 0.9)
    monkeypatch.setattr(train_model, "EPOCH_SHARE", {})
    network, history = train_model.train(
        make_recordings(320), make_recordings(40, seed=1), 15, 1, tmp_path / "c.npz"
    )
    held_out = make_recordings(80, seed=2)
    figures = train_model.measure(held_out, train_model.recognise(network, held_out))
    assert figures["accuracy"] > 0.7
    assert history["val_accuracy"][-1] > 0.7
    assert np.sum(figures["confusion"]) == 80
    assert np.mean(list(figures["recall"].values())) == pytest.approx(figures["uar"])


def always(emotion, n):
    """Probabilities of one who is sure that every recording is `emotion`."""
    return np.tile(np.eye(len(EMOTIONS))[emotion], (n, 1))


def test_uar_counts_every_emotion_the_same():
    recordings = [r for r in make_recordings(24) if r["emotion"] in ("neutral", "sad")]
    recordings += [recordings[0]] * 10  # neutral
    figures = train_model.measure(recordings, always(0, len(recordings)))
    assert figures["uar"] == pytest.approx(0.5)
    assert figures["accuracy"] == pytest.approx(13 / 16)
    assert figures["recall"] == {"neutral": 1.0, "sad": 0.0}
    assert figures["calibration_error"] == pytest.approx(3 / 16)  # sure of all, right in 13


def test_calibration_error_is_the_distance_of_sureness_from_hits():
    recordings = make_recordings(80)
    rng = np.random.default_rng(0)
    true = train_model.one_hot(recordings)
    wrong = np.roll(true, 1, axis=1)
    hit = (np.arange(80) % 10 < 7)[:, None]  # right in seven of ten
    for sure, expected in [(0.7, 0.0), (0.9, 0.2)]:
        other = (1 - sure) / 7
        probabilities = other + (sure - other) * np.where(hit, true, wrong)
        bins, error = train_model.reliability(recordings, probabilities)
        assert error == pytest.approx(expected, abs=1e-6)
        assert bins == [(80, pytest.approx(sure), pytest.approx(0.7))]
    order = rng.permutation(80)
    shuffled = train_model.reliability([recordings[i] for i in order], probabilities[order])
    assert shuffled[1] == pytest.approx(error)


def test_the_fitted_temperature_undoes_too_much_sureness():
    recordings = make_recordings(4000)
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((4000, 8))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for recording, p in zip(recordings, honest, strict=True):
        recording["emotion"] = EMOTIONS[rng.choice(8, p=p)]
    sure = honest**1.6 / (honest**1.6).sum(axis=1, keepdims=True)
    assert train_model.fit_temperature(sure, recordings) == pytest.approx(1.6, rel=0.05)
    errors = [train_model.reliability(recordings, found)[1] for found in (honest, sure)]
    assert errors[0] < 0.04 < 0.06 < errors[1]


def test_the_temperature_is_in_the_weights(quick, tmp_path):
    recordings = make_recordings()
    probabilities = []
    for temperature in (1.0, 2.0):
        network, history = train_model.train(
            recordings, recordings[:8], 2, 1, tmp_path / "c.npz", temperature=temperature
        )
        assert history["temperature"] == temperature
        probabilities.append(train_model.recognise(network, recordings[:20]))
        (tmp_path / "c.npz").unlink()
    cooled = np.sqrt(probabilities[0])
    cooled /= cooled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities[1], cooled, atol=1e-5)


def test_late_answers_count_more_and_the_last_most():
    weights = train_model.frame_weights(np.array([20, 80]))
    for row, length in zip(weights, (20, 80), strict=True):
        assert row.sum() == pytest.approx(1)
        assert not row[length:].any()
        assert not row[: length // 4 - 1].any()
        assert (np.diff(row[length // 4 : length - 1]) > 0).all()
        assert row[length - 1] > 1 - train_model.FRAME_WEIGHT


def test_a_network_in_training_answers_after_each_frame_as_the_saved_one_does_at_the_end():
    trained, saved = (train_model.build_network(training=training) for training in (True, False))
    saved.set_weights(trained.get_weights())
    features = np.random.default_rng(0).standard_normal((2, 9, N_FEATURES)).astype(np.float32)
    features[1, 6:] = 0  # padding
    answers = np.array(trained(features))
    assert answers.shape == (2, 9, len(EMOTIONS))
    np.testing.assert_allclose(answers[:, -1], saved(features), atol=1e-5)
    np.testing.assert_allclose(answers[1, 5], saved(features)[1], atol=1e-5)


def test_an_epoch_draws_its_share_of_each_corpus_and_every_emotion_as_often(monkeypatch):
    monkeypatch.setattr(train_model, "EPOCH_SHARE", {"TESS": 0.5})
    monkeypatch.setattr(train_model, "BATCH_SIZE", 1)  # or the last of them are left out
    recordings = [r for r in corpora() if r["emotion"] != "neutral" or r["speaker"] > "08"]
    batches = train_model.epoch_batches(recordings, np.random.default_rng(0))
    drawn = Counter((recordings[n]["corpus"], recordings[n]["emotion"]) for n in batches.ravel())
    assert drawn == Counter(
        {("RAVDESS", emotion): 24 for emotion in EMOTIONS}
        | {("TESS", emotion): 1 for emotion in EMOTIONS if emotion != "calm"}
    )
    neutral = [n for n in batches.ravel() if recordings[n]["emotion"] == "neutral"]
    assert len(set(neutral)) == 16 + 1  # all there are, before any comes twice


def test_groups_are_corpora_and_sexes():
    recordings = corpora()
    true = train_model.one_hot(recordings)
    actresses = [r["corpus"] == "TESS" or int(r["speaker"]) % 2 == 0 for r in recordings]
    wrong_for_men = np.where(np.array(actresses)[:, None], true, np.roll(true, 1, axis=1))
    groups = train_model.measure_groups(recordings, wrong_for_men)
    assert groups["female"]["accuracy"] == groups["TESS"]["accuracy"] == 1
    assert groups["male"]["accuracy"] == 0
    assert (groups["male"]["n"], groups["female"]["n"]) == (12 * 8, 12 * 8 + 2 * 7)
    assert groups["RAVDESS"]["uar"] == pytest.approx(0.5)


def test_a_stopped_protocol_goes_on_with_the_fold_it_was_in(tmp_path, monkeypatch):
    trained = []

    def fake_train(training, validation, epochs, seed, checkpoint, name, temperature):
        assert temperature is None  # fitted to voices that were not trained on
        if stop_at == (seed, len(trained)):
            raise KeyboardInterrupt
        trained.append(name)
        return None, {"temperature": 2.0, "seconds": 1.0}

    def recognise_neutral_or_sad(_, tested):
        quiet = [recording["condition"] == "" for recording in tested]
        return np.where(np.array(quiet)[:, None], always(0, len(tested)), always(3, len(tested)))

    monkeypatch.setattr(train_model, "Parallel", lambda n_jobs: list)
    monkeypatch.setattr(train_model, "delayed", lambda function: function)
    monkeypatch.setattr(train_model, "train", fake_train)
    monkeypatch.setattr(train_model, "recognise", recognise_neutral_or_sad)
    noisy = {"white": [r | {"condition": "white"} for r in reversed(corpora())]}
    stop_at = (2, 7)
    with pytest.raises(KeyboardInterrupt):
        train_model.run_protocol("speaker", corpora(), noisy, 2, tmp_path, {})
    stop_at = None
    train_model.run_protocol("speaker", corpora(), noisy, 2, tmp_path, {})
    assert len(trained) == len(set(trained)) == 10
    result = json.loads((tmp_path / "speaker.json").read_text())
    assert result["mean_and_standard_deviation"]["uar"] == pytest.approx([1 / 8, 0])
    assert result["pooled"]["clean"]["recall"]["neutral"] == 1
    assert result["pooled"]["white"]["recall"]["sad"] == 1
    assert result["pooled"]["clean"]["n"] == result["pooled"]["white"]["n"] == 2 * 24 * 8
    assert result["temperature"] == pytest.approx(2)
    assert result["seeds"] == {"training": [1, 2]}
    assert (tmp_path / "speaker.png").exists()
    assert (tmp_path / "speaker_reliability.png").exists()
    assert not list((tmp_path / "folds").iterdir())


def test_a_condition_without_a_tested_recording_is_refused():
    with pytest.raises(SentimentalError, match="condition white: .* is not among"):
        train_model.under_conditions(corpora(), {"white": corpora()[1:]})


def test_seeds_of_random_are_splits():
    recordings = make_recordings(160)
    folds = [train_model.protocol_folds("random", recordings, seed) for seed in (1, 2)]
    assert [len(part) for part in folds[0][0]] == [140, 13, 7]
    assert files(folds[0][0][1]) != files(folds[1][0][1])


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, ROOT / "train_model.py", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
    )


def test_the_script_trains_and_evaluates_to_the_same_figures(quick, tmp_path, monkeypatch):
    features = tmp_path / "features.json"
    sentimental.save_features(features, make_recordings(160))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_model.py", str(features), "--model", "mine"])
    train_model.main()
    assert not list(tmp_path.glob("*checkpoint*"))
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {"metrics.json", "loss.png", "accuracy.png", "confusion_matrix.png"}
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert metrics["command"] == f"python train_model.py {features} --model mine"
    assert metrics["sizes"] == {"train": 140, "validation": 13, "test": 7}

    done = run(features, "--evaluate", "--model", "mine", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("validation", "test"):
        line = next(x for x in done.stdout.splitlines() if x.startswith(part))
        assert f"{metrics[part]['accuracy']:.4f}" in line


def test_folds_run_in_processes_of_their_own(tmp_path):
    sentimental.save_features(tmp_path / "features.json", make_recordings(160))
    quick = ("--set", "EPOCHS={'random': 2}", "--set", "BATCH_SIZE=16")
    done = run("features.json", "--seeds", "2", *quick, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "results" / "random.json").read_text())
    assert result["pooled"]["clean"]["n"] == 2 * 20
    assert result["settings"]["BATCH_SIZE"] == 16
    for seed in (1, 2):
        assert f"seed {seed}, fold 1: epoch   2/2" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"), [(None, "make it with preprocess.py"), ("{}", "not a features file")]
)
def test_bad_features_end_with_one_line(tmp_path, content, message):
    path = tmp_path / "features.json"
    if content:
        path.write_text(content)
    done = run(path, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--seeds", "0"),
        ("--evaluate", "--protocol", "speaker"),
        ("--evaluate", "--seeds", "2"),
        ("--protocol", "best"),
        ("--conditions", "noise.json"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, tmp_path):
    done = run(tmp_path / "features.json", *options, folder=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text", ["EPOCHS", "EPOCHS=many", "EPOCHS=3", "SNR=10", "epochs=3", "NO_SUCH=1", "N_MFCC=3"]
)
def test_settings_that_do_not_exist_are_refused(text):
    with pytest.raises(SentimentalError, match=text.partition("=")[0]):
        train_model.parse_settings([text])


def test_a_setting_can_be_changed_for_one_run():
    settings = train_model.parse_settings(["BATCH_SIZE=3", "SNR=(1, 2)", "EPOCHS={'random': 2}"])
    assert (settings["BATCH_SIZE"], settings["SNR"]) == (3, (1, 2))
    assert settings["EPOCHS"] == train_model.EPOCHS | {"random": 2}


def test_recordings_under_a_condition_do_not_train(tmp_path, monkeypatch):
    path = tmp_path / "features.json"
    sentimental.save_features(path, [r | {"condition": "white"} for r in make_recordings(40)])
    monkeypatch.setattr(sys, "argv", ["train_model.py", str(path)])
    with pytest.raises(SentimentalError, match="for tests"):
        train_model.main()


def test_a_condition_called_clean_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "clean.json"
    sentimental.save_features(path, make_recordings(40))
    command = ["train_model.py", str(path), "--protocol", "speaker", "--conditions", str(path)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SentimentalError, match="cannot be called clean"):
        train_model.main()


def test_too_few_recordings_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "features.json"
    sentimental.save_features(path, make_recordings(9))
    monkeypatch.setattr(sys, "argv", ["train_model.py", str(path)])
    with pytest.raises(SentimentalError, match="too few"):
        train_model.main()
