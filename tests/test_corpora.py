"""What is known of corpora."""

import re

import pytest

from sentimental.corpora import CORPORA
from sentimental.scripts import EMOTIONS


def test_ased_has_as_many_women_and_men_as_it_was_published_with():
    sexes = [CORPORA["ASED"].sex_of(f"{speaker:02}") for speaker in range(1, 66)]
    assert (sexes.count("female"), sexes.count("male")) == (25, 40)


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_codes_stand_for_emotions_that_the_network_knows(corpus):
    left_out = {"EmoDB": {"boredom"}}.get(corpus.name, set())  # by name, with the reason
    assert {*corpus.emotion_codes.values()} - left_out <= {*EMOTIONS}
    assert all(code == code.lower() for code in corpus.emotion_codes)


@pytest.mark.parametrize("corpus", [c for c in CORPORA.values() if c.archive], ids=lambda c: c.name)
def test_what_is_downloaded_can_be_checked(corpus):
    archive = corpus.archive
    assert bool(re.fullmatch("[0-9a-f]{32}", archive.md5)) != bool(
        re.fullmatch("[0-9a-f]{64}", archive.sha256)
    )
    if archive.sha256:  # a fixed commit, in the archive's address as in that of single files
        commit = re.search("[0-9a-f]{40}", archive.url)[0]
        assert commit in archive.root
        assert commit in archive.media
        assert archive.root.endswith("/")
        assert archive.media.endswith("/")
