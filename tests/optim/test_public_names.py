import asyndbt.optim as optim
from asyndbt.optim import estimators


def test_every_public_name_exists_once():
    for module in (optim, estimators):
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


def test_estimators_are_public_in_the_room_too():
    assert set(estimators.__all__) <= set(optim.__all__)
