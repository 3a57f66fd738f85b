"""Faults to work with: lost keys, crashes, and what happens just before a step or between two tries of it."""


def key_names(vault):
    return {item["holding"] for item in vault.card_keys.scan()["Items"]}


def lose_keys(vault):
    for item in vault.card_keys.scan()["Items"]:
        vault.card_keys.delete_item(Key={"token": item["token"], "holding": item["holding"]})


def before_first(monkeypatch, owner, name, act):
    """Lets `act` happen once, just before the method is called for the first time."""
    original = getattr(owner, name)

    def first(self, *arguments, **named):
        monkeypatch.setattr(owner, name, original)
        act()
        return original(self, *arguments, **named)

    monkeypatch.setattr(owner, name, first)


def twice(monkeypatch, owner, name, between):
    """A write whose answer gets lost, so that it is sent again, and what happens in between."""
    original = getattr(owner, name)

    def again(self, *arguments):
        monkeypatch.setattr(owner, name, original)
        original(self, *arguments)
        between(arguments[0])
        return original(self, *arguments)

    monkeypatch.setattr(owner, name, again)


class Crashed(BaseException):
    pass


def crash(*arguments):
    raise Crashed
