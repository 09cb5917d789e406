"""What tests do to a recording: white noise, babble, a telephone, another gain.

Training does other things to its recordings, on features and at random strengths
(`sentimental.training.augment`), so that a test never meets just what was trained.
"""

import contextlib

import numpy as np

from sentimental.audio import load_audio
from sentimental.scripts import SentimentalError
from sentimental.spectrum import SAMPLE_RATE

# Their order seeds what is drawn: a new condition goes to the end.
CONDITIONS = ("white", "babble", "telephone", "gain")
# dB, of speech against white noise or babble.
CONDITION_SNR = 10.0
# dB below the loudest frame. Ends that are quieter do not count as speech in that ratio.
SPEECH_TOP_DB = 30
# Other recordings that babble is made of, spoken at once.
CONDITION_VOICES = 6
# Hz. The band of a telephone.
CONDITION_BAND = (300, 3400)
# dB. The gain is drawn between these; what then exceeds full scale clips, as in a sound card.
CONDITION_GAIN = (-20.0, 6.0)


def apply_condition(condition, samples, voices, rng, name="recording"):
    """Change a recording by one of ``CONDITIONS``.

    Parameters
    ----------
    condition : str
    samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``, full scale is 1.0
    voices : list of str, files that babble is made of
    rng : np.random.Generator
    name : what error messages call the recording

    Returns
    -------
    samples : np.ndarray [shape=(n,), float32]

    Raises
    ------
    SentimentalError
        When none of the voices can be read.
    """
    if condition == "white":
        changed = add_noise(samples, rng.standard_normal(len(samples)))
    elif condition == "babble":
        changed = add_noise(samples, mix_babble(len(samples), voices, rng, name))
    elif condition == "telephone":
        from scipy.signal import butter, sosfilt

        changed = sosfilt(butter(4, CONDITION_BAND, "band", fs=SAMPLE_RATE, output="sos"), samples)
    else:
        changed = np.clip(samples * 10 ** (rng.uniform(*CONDITION_GAIN) / 20), -1, 1)
    return changed.astype(np.float32)


def add_noise(samples, noise):
    """Add noise ``CONDITION_SNR`` below the speech; silence around it does not count as speech."""
    from librosa.effects import trim

    speech, _ = trim(samples, top_db=SPEECH_TOP_DB)
    power, noise_power = (np.mean(np.square(x, dtype=np.float64)) for x in (speech, noise))
    ratio = power / max(noise_power, 1e-20) * 10 ** (-CONDITION_SNR / 10)
    return samples + noise * np.sqrt(ratio)


def mix_babble(n, voices, rng, name="recording"):
    """Several other files at once, equally loud, each from a random moment of it; `n` samples."""
    babble, n_voices = np.zeros(n), 0
    for path in rng.permutation(voices):
        with contextlib.suppress(SentimentalError):  # it is refused under its own name
            voice = load_audio(path, note=lambda line: None)
            voice = np.resize(np.roll(voice, rng.integers(len(voice))), n)
            babble += voice / max(np.sqrt(np.mean(voice**2)), 1e-9)
            n_voices += 1
        if n_voices == CONDITION_VOICES:
            break
    if not n_voices:
        raise SentimentalError(
            f"{name}: babble needs other recordings that can be read; add some to it"
        )
    return babble
