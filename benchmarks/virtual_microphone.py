"""A microphone that hears what is played, and a screen that nobody sees; gone when we are done.

Needs PulseAudio and ALSA's way to it, and for the screen Xvfb; Debian and Ubuntu: apt install
pulseaudio pulseaudio-utils libasound2-plugins xvfb. A desktop's own sound and screen are not
touched.
"""

import contextlib
import os
import shutil
import site
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import correlate
from tqdm import tqdm

from sentimental.scripts import SentimentalError

# Hz, what programs ask of ALSA by default: nothing resamples on the way.
SAMPLE_RATE = 44_100
# s of sound handed over at once.
CHUNK_SECONDS = 0.01
# Correlation of what was heard with what was played; with less it was not heard whole.
LIKENESS = 0.9


def missing():
    """What the virtual microphone lacks on this machine; an empty string when all is there."""
    programs = [name for name in ("pulseaudio", "pactl", "paplay") if not shutil.which(name)]
    if programs:
        return f"{', '.join(programs)} not installed"
    if not list(Path("/usr/lib").glob("**/libasound_module_pcm_pulse.so")):
        return "ALSA's PulseAudio plugin not installed"
    return ""


@contextlib.contextmanager
def virtual_microphone():
    """Start PulseAudio with a sink whose monitor is the only microphone.

    Gives the environment of the programs that are to play and hear (`paplay`, the script).
    """
    with tempfile.TemporaryDirectory(prefix="mic") as home:  # a socket's path must be short
        Path(home, ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default pulse\n")
        socket = f"{home}/native"
        environment = {
            **os.environ,
            "HOME": home,
            "PULSE_RUNTIME_PATH": home,
            "PULSE_SERVER": f"unix:{socket}",
            "XDG_CONFIG_HOME": home,
            "XDG_RUNTIME_DIR": home,
            # What depends on HOME and is no part of this:
            "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(Path.home() / ".config/matplotlib")),
            "PYTHONUSERBASE": site.getuserbase(),
        }
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"]
        command += ["--use-pid-file=no", "--disable-shm=yes"]
        command += ["-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1"]
        command += ["-L", f"module-null-sink sink_name=air rate={SAMPLE_RATE} channels=1"]
        # A sink to which nobody listens prepares 2 s of silence at a time, and who opens the
        # microphone meanwhile hears nothing before they are over. A listener makes it 10 ms.
        listen = ["parec", "--latency-msec=10", "--device=air.monitor"]
        with _running(command, environment) as server:
            _wait_for_sink(server, environment)
            with _running(listen, environment):
                time.sleep(2)
                yield environment


@contextlib.contextmanager
def _running(command, environment, stdout=subprocess.DEVNULL):
    """Run a program meanwhile; gives its process."""
    process = subprocess.Popen(
        command, env=environment, stdout=stdout, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for_sink(server, environment):
    for _ in range(100):
        answer = subprocess.run(
            ["pactl", "list", "short", "sinks"], env=environment, capture_output=True, text=True
        )
        if "air" in answer.stdout:
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise SentimentalError("PulseAudio does not start; does `pulseaudio --version` work?")


@contextlib.contextmanager
def virtual_display():
    """Start Xvfb; gives what to add to a program's environment."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    command += ["-noreset"]  # else it begins anew, unreachable for a moment, after each program
    with _running(command, None, subprocess.PIPE) as server:
        yield {"DISPLAY": f":{server.stdout.readline().strip()}"}


def play(path, buffer, environment):
    """Play a file of mono sound at ``SAMPLE_RATE`` in real time, `buffer` s ahead of what is heard.

    Yields
    ------
    n : int, samples that were handed to the sound server so far
    clock : float, s since 1970 when the last of them were
    """
    command = ["pacat", "--raw", "--format=s16le", "--channels=1", f"--rate={SAMPLE_RATE}"]
    command += [f"--latency-msec={round(buffer * 1000)}"]
    player = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    seconds = round(soundfile.info(path).duration)
    blocks = soundfile.blocks(path, round(CHUNK_SECONDS * SAMPLE_RATE), dtype="int16")
    try:
        player.stdin.write(bytes(2 * round(buffer * SAMPLE_RATE)))
        begin, n = time.monotonic(), 0
        with tqdm(total=seconds, desc="Playing", unit=" s", leave=False) as bar:
            for block in blocks:
                time.sleep(max(0.0, begin + n / SAMPLE_RATE - time.monotonic()))
                player.stdin.write(block.tobytes())
                player.stdin.flush()
                n += len(block)
                bar.update(n // SAMPLE_RATE - bar.n)
                yield n, time.time()
        player.stdin.close()
        player.wait(timeout=10)
    finally:
        player.kill()
        player.wait()


def find_clips(clips, played_path, heard_path):
    """Where clips of a file lie in what was heard: a list of samples, or None where not whole.

    Clips have ``start`` and ``stop`` in samples; both files are mono, at ``SAMPLE_RATE``.
    """
    places, offset = [], None
    with soundfile.SoundFile(played_path) as played, soundfile.SoundFile(heard_path) as heard:
        for clip in clips:
            played.seek(clip.start)
            pattern = played.read(clip.stop - clip.start)
            # The first may lie anywhere in the first minute, each other near where the last one did
            first = 0 if offset is None else clip.start + offset - SAMPLE_RATE // 2
            heard.seek(min(first, heard.frames))
            window = heard.read(60 * SAMPLE_RATE if offset is None else len(pattern) + SAMPLE_RATE)
            place = None
            if len(window) >= len(pattern):
                likeness = correlate(window, pattern, mode="valid", method="fft")
                if likeness.max() > LIKENESS * np.sum(pattern**2):
                    place = first + int(likeness.argmax())
                    offset = place - clip.start
            places.append(place)
    return places
