from clipbench.inference.profile import Profile
from clipbench.inference.progress import ScoringProgress


def begun():
    profile, seen = Profile(), []
    progress = ScoringProgress(profile)
    progress.begin(seen.append)
    return profile, progress, seen


def test_samples_of_a_chunk_count_in_proportion_to_what_is_encoded():
    profile, progress, seen = begun()
    progress.enter(samples=100, images=10, texts=50)  # an image counts like five texts: 100 in all
    profile.count(images=4)
    profile.count(texts=30)
    profile.count(texts=20)
    profile.count(images=6)
    progress.leave(100)
    assert seen == [0, 20, 50, 70, 100, 100]


def test_what_was_encoded_before_does_not_count_again():
    profile, progress, seen = begun()
    for _ in range(2):
        progress.enter(samples=10, images=0, texts=4)
        profile.count(texts=2)
        profile.count(texts=2)
        progress.leave(10)
    assert seen == [0, 5, 10, 10, 10, 15, 20, 20]


def test_a_resumed_task_is_first_reported_where_it_resumes():
    profile, progress, seen = begun()
    progress.leave(256)
    profile.count(texts=80)  # prompts of classes, between chunks
    progress.leave(256)
    assert seen == []
    progress.enter(samples=88, images=88, texts=88)
    assert seen == [512]


def test_more_than_was_expected_is_not_more_than_all():
    profile, progress, seen = begun()
    progress.enter(samples=8, images=1, texts=1)
    profile.count(images=1, texts=3)
    assert seen == [0, 8]
    progress.begin(seen.append)
    progress.enter(samples=8, images=1, texts=0)
    assert seen[-1] == 0
