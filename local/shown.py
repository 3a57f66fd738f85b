"""What the `payments` command shows on the terminal."""

import json
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from local import dials, emulators, platform, processes
from local.client import Client, webhook
from local.dials import DialFile
from local.settings import REGIONS, Settings

console = Console(highlight=False)

LOST = (
    "Lost is what was under way in it, its queues, what only it had (balances and history until they are counted again,"
    " chains and archive, settlements), and what it wrote in the instant before that nobody had read from its streams;"
    " the other region has the rest. It can be started anew"
)
"""What the death of a region's emulator means."""


def start(at: Settings, detached: bool) -> processes.Run:
    """Start with a spinner that says what is being done and a line for what is done, with its seconds."""
    begun, done = time.monotonic(), ""

    def progress(step: str) -> None:
        nonlocal begun, done
        if done:
            console.print(f"{done}: {time.monotonic() - begun:.1f} s")
        begun, done = time.monotonic(), step
        spinner.update(step)

    with console.status("Starting") as spinner:
        run = platform.up(at, detached, progress)
        progress("")
    return run


def first_charge(endpoints: dict[str, Any]) -> None:
    """Charge a card, wait until it is settled and its webhook verified, and show all that."""
    client = Client(endpoints["edge"], endpoints["merchant"]["api_key"])
    answer = client.charge(4200, customer={"id": "cus_1"}, description="order 1")
    if answer.status != 201:
        raise platform.StartFailed(f"the first charge was answered {answer.status}: {answer.body}")
    console.print(f"Charged a card through {answer.served_by} in {answer.milliseconds} ms: {answer.body['id']}")
    payment = client.settled(answer.body["id"])
    delivery = webhook(endpoints["webhook_inbox"], payment["id"])
    console.print(f"It has [bold]{payment['status']}[/]: {payment['amount']} {payment['currency']} (minor units)")
    console.print(f"Webhook {delivery['type']} {delivery['id']}: delivered, signature verified.")


def running(at: Settings, run: processes.Run) -> None:
    """A table of what runs where."""
    table = Table("what", "where", "process", "state")
    for process in run.processes:
        where = f"http://127.0.0.1:{process.port}" if process.port else ""
        table.add_row(process.name, where, str(process.pid), processes.state(process))
    for region in REGIONS:
        table.add_row(f"API {region}", at.gateway_url(region), "", "via edge")
    console.print(table)
    file = at.path("replication.json")
    if file.exists() and file.read_text():
        console.print(f"replication: {json.loads(file.read_text())}")
    console.print("dials: " + ", ".join(f"{name} {value}" for name, value in dials.shown(DialFile(at)()).items()))
    for region in REGIONS:
        process = run.find(emulators.name(region))
        if process and not process.alive():
            console.print(f"{region} is dead. {LOST}: payments region start {region}")
    console.print(f"the vault's keys: {_key_store(at)}")
    console.print(f"addresses and the API key: {at.path('endpoints.json')}")


def _key_store(at: Settings) -> str:
    if at.softhsm_library:
        return f"in a SoftHSM token ({at.softhsm_library})"
    return "in files, because SoftHSM is not installed or not wanted (SOFTHSM2_MODULE)"
