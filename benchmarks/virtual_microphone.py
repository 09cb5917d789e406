"""A microphone that hears what is played: a PulseAudio of our own, gone when we are done.

Needs PulseAudio and ALSA's way to it; Debian and Ubuntu: apt install pulseaudio pulseaudio-utils
libasound2-plugins. The PulseAudio or PipeWire of the desktop is not touched.
"""

import contextlib
import os
import shutil
import site
import subprocess
import tempfile
import time
from pathlib import Path

SAMPLE_RATE = 44_100  # Hz, what programs ask of ALSA by default: nothing resamples on the way


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

    Yields
    ------
    environment : dict
        For the programs that are to play and hear (`paplay`, the realtime script).

    Raises
    ------
    RuntimeError
        When PulseAudio does not start.
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
        server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"),
                *("--use-pid-file=no", "--disable-shm=yes"),
                *("-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1"),
                *("-L", f"module-null-sink sink_name=air rate={SAMPLE_RATE} channels=1"),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for_sink(server, environment)
            yield environment
        finally:
            server.terminate()
            server.wait()


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
    raise RuntimeError("PulseAudio does not start")
