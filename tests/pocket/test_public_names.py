import asyndbt.pocket


def test_the_public_names_are_exactly_these() -> None:
    assert asyndbt.pocket.__all__ == [
        "TASKS",
        "PocketModel",
        "PocketTask",
        "dataset",
        "fragment_vocabulary",
    ]
    assert all(hasattr(asyndbt.pocket, name) for name in asyndbt.pocket.__all__)
