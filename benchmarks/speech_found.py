"""How much of a corpus the voice activity detector takes for speech, and which sounds it does not.

    python benchmarks/speech_found.py data/TESS data/RAVDESS        # some minutes

For each folder: its recordings, and those in which no speech is found, as in a file
(`sentimental.vad.check_speech`) and live, after half a second of soft noise
(`sentimental.vad.Endpointer`). Then artificial sounds, of 10 s and at three levels: none of them
should be speech, neither in a file nor live.
"""

import common
import joblib
import numpy as np

from sentimental.audio import load_audio
from sentimental.scripts import SentimentalError, interruptible, run_script
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import Endpointer, check_speech

# s of each artificial sound.
SECONDS = 10
# dB re full scale, of their peaks.
PEAKS_DBFS = (-50, -20, 0)
# Full scale is 1.0. RMS (−80 dB) of the noise before a recording that is heard live.
NOISE_RMS = 1e-4


def is_heard(samples):
    """Is there speech in them, as in a file?"""
    try:
        check_speech(samples)
    except SentimentalError:
        return False
    return True


def is_heard_live(samples):
    endpointer = Endpointer()
    return bool(endpointer.feed(samples) or endpointer.utterance())


def hear_file(path):
    """Whether speech is found in a recording, as in a file and live."""
    try:
        samples = load_audio(path)
    except SentimentalError:  # damaged
        return False, False
    noise = np.random.default_rng(1).normal(0, NOISE_RMS, SAMPLE_RATE // 2)
    return is_heard(samples), is_heard_live(np.concatenate([noise.astype("f4"), samples]))


def artificial_sounds():
    """Sounds of everyday life in which nobody speaks; dict of name and samples."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    white = np.random.default_rng(1).standard_normal(len(time))
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)))

    def tones(*frequencies):
        return sum(np.sin(2 * np.pi * frequency * time) for frequency in frequencies)

    clicks, knocks = np.zeros((2, len(time)))
    clicks[::8000] = 1
    knocks[time % 0.5 < 0.05] = 1
    return {
        "silence": np.zeros(len(time)),
        "tone, 440 Hz": tones(440),
        "hum, 50 Hz": sum(tones(50 * k) / k for k in range(1, 8)),
        "hum, 60 Hz": sum(tones(60 * k) / k for k in range(1, 30)),
        "white hiss": white,
        "pink hiss": pink,
        "dial tone, Europe": tones(425),
        "dial tone, USA": tones(350, 440),
        "busy tone": tones(480, 620) * (time % 1 < 0.5),
        "ringing tone": tones(440, 480) * (time % 6 < 2),
        "dialed digits": tones(770, 1336) * (time % 0.2 < 0.1),
        "siren": np.sin(2 * np.pi * (100 * time + 190 * time**2)),
        "clicks": clicks,
        "knocks": knocks,
    }


@interruptible()
def main():
    """Measure and print."""
    args = common.parser(__doc__, paths="folders of WAV files").parse_args()

    for folder in args.paths:
        paths = sorted(folder.rglob("*.wav"))
        heard = np.array(joblib.Parallel(n_jobs=-1)(map(joblib.delayed(hear_file), paths)))
        for way, found in zip(("as files", "live"), heard.T, strict=True):
            print(f"{folder}, {way}: no speech in {sum(~found)} of {len(paths)} recordings")
            for number in np.flatnonzero(~found):
                print(f"  {paths[number]}")

    for name, sound in artificial_sounds().items():
        outcomes = []
        for dbfs in PEAKS_DBFS:
            samples = (10 ** (dbfs / 20) * sound / max(np.abs(sound).max(), 1e-9)).astype("f4")
            outcomes.append(
                "SPEECH" if is_heard(samples) or is_heard_live(samples) else "no speech"
            )
        print(f"{name:18s} {', '.join(outcomes)}")


if __name__ == "__main__":
    raise SystemExit(run_script(main))
