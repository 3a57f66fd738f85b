"""The report of a run: what people, spreadsheets and machines get of it, whatever strangers wrote into it."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.reconciliation import report_chart, shown
from functions.reconciliation.report import render

HOSTILE = [
    '<script>alert("x")</script>',
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil.example","click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    " =1+1",
    'a\r\nb,"c"',
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "\ud800",
    "</style><style>*{display:none}",
]


def total(name="matched", currency="USD", **changes):
    row = {"class": name, "type": "capture", "network": "visa", "currency": currency, "lines": 10, "expected": 420_000}
    return {**row, "settled": 420_000, "difference": 0, "fees": -7_560, "at_risk": 0, **changes}


def report(**changes):
    told = {
        "run": "run_00000007",
        "as_of": "2026-11-23",
        "created_at": "2026-11-24T03:00:00.000Z",
        "match_rate": 99_987,
        "at_risk": {"USD": 123_456, "JPY": 5_000, "KWD": 1_234},
        "files": [
            {
                "file": "ab" * 16,
                "key": "inbox/visa/2026-11-23.csv",
                "network": "visa",
                "business_date": "2026-11-23",
                "rows": 1_000,
                "rejected": 0,
                "result": "accepted",
                "reason": None,
            }
        ],
        "totals": [
            total(),
            total("amount_mismatch", lines=2, settled=296_544, difference=-123_456, at_risk=123_456),
            total("missing_at_network", "JPY", lines=1, expected=5_000, settled=0, difference=-5_000, at_risk=5_000),
            total("duplicate_at_network", "KWD", lines=1, expected=0, settled=1_234, difference=1_234, at_risk=1_234),
        ],
        "bookings": [
            {
                "network": "visa",
                "currency": "USD",
                "journals": 3,
                "captured": 420_000,
                "returned": 0,
                "fees": 7_560,
                "written_off": -1,
            }
        ],
        "clearing": [{"network": "visa", "currency": "USD", "ledger": 123_456, "open": 123_456, "drift": 0}],
        "open_by_age": [{"days": "2-7", "currency": "USD", "lines": 2, "at_risk": 123_456}],
    }
    return {**told, **changes}


def empty():
    nothing = {name: [] for name in ("files", "totals", "bookings", "clearing", "open_by_age")}
    return report(match_rate=None, at_risk={}, **nothing)


def page(told):
    return render(told)["report.html"].decode()


def table(told):
    return list(csv.DictReader(io.StringIO(render(told)["report.csv"].decode(), newline="")))


class Elements(HTMLParser):
    """The elements and visible text of a page."""

    VOID = frozenset({"meta", "br", "rect"})

    def __init__(self, text):
        super().__init__()
        self.names, self.text, self.attributes, self._open = [], "", [], []
        self.feed(text)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_json_is_canonical_and_is_the_report():
    told = report()

    written = render(told)["report.json"]

    assert json.loads(written) == told
    assert (
        written
        == render(json.loads(written))["report.json"]
        == json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_the_same_report_is_the_same_bytes_whatever_the_order_of_its_fields():
    told = report()

    assert render(told) == render(dict(reversed(told.items())))


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (0, "USD", "0.00"),
        (7, "USD", "0.07"),
        (123_456_789, "USD", "1,234,567.89"),
        (-7, "USD", "−0.07"),
        (1_235, "JPY", "1,235"),
        (1_235, "KWD", "1.235"),
        (-12, "KWD", "−0.012"),
        (1_235, "CLF", "0.1235"),
        (1_235, "XAU", "1,235"),
        (1_235, "???", "1,235"),
        (10**17 + 1, "USD", "1,000,000,000,000,000.01"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(amount, currency, expected):
    assert shown.money(amount, currency) == expected


@given(st.integers(-(10**20), 10**20), st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
def test_no_digit_of_an_amount_is_lost(amount, currency):
    told = shown.money(amount, currency)

    digits = int(re.sub(r"\D", "", told))
    assert digits == abs(amount)
    assert told.startswith("−") == (amount < 0)


def test_a_rate_is_exact():
    assert [shown.rate(rate)[:-2] for rate in (0, 7, 99_999, 100_000)] == ["0.000", "0.007", "99.999", "100.000"]
    assert shown.rate(None) == "–"


def test_the_page_says_what_matters():
    text = Elements(page(report())).text

    for told in ("2026-11-23", "run_00000007", "99.987", "1,234.56", "5,000", "1.234", "inbox/visa/2026-11-23.csv"):
        assert told in text
    assert "amount mismatch" in text


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing():
    found = Elements(page(report()))

    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base"} & set(found.names)
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert "url(" not in page(report())
    assert "@import" not in page(report())


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_strangers_add_no_element_and_no_attribute(text):
    plain = Elements(page(report()))
    told = report(run=text)
    told["files"] = [{**told["files"][0], "key": text, "reason": text, "network": text}]
    told["totals"] = [{**row, "network": text} for row in told["totals"]]

    found = Elements(page(told))

    assert (found.names, len(found.attributes)) == (plain.names, len(plain.attributes))
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in found.text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_class_or_currency_nobody_knows_is_shown_and_harmless(text):
    told = report(totals=[total(text, text, at_risk=5)], at_risk={text: 5})

    found = Elements(page(told))

    assert "script" not in found.names
    assert found.names.count("svg") == 2


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.strip()[:1] in "=+-@" or text[0] == "\t"])
def test_no_cell_of_the_table_begins_a_formula(text):
    told = report()
    told["files"] = [{**told["files"][0], "key": text, "reason": text}]

    cells = [row for row in table(told) if row["section"] == "files"]

    assert [row["key"] for row in cells] == [f"'{text}"]
    assert not [cell for row in table(told) for cell in row.values() if re.match(r"\s*[=+@]|\s*-(?!\d+$)", cell)]


def test_negative_numbers_stay_numbers():
    (row,) = (row for row in table(report()) if row["class"] == "amount_mismatch")

    assert (row["difference"], row["at_risk"], row["expected"]) == ("-123456", "123456", "420000")


def test_the_table_has_every_figure_of_the_report_in_minor_units():
    rows = table(report())

    assert {row["section"] for row in rows} == {
        *("summary", "at_risk", "totals", "bookings", "clearing", "open_by_age", "files")
    }
    assert all((row["run"], row["as_of"]) == ("run_00000007", "2026-11-23") for row in rows)
    (clearing,) = (row for row in rows if row["section"] == "clearing")
    assert (clearing["ledger"], clearing["open"], clearing["drift"]) == ("123456", "123456", "0")
    assert [row["at_risk"] for row in rows if row["section"] == "at_risk"] == ["5000", "1234", "123456"]


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_reader_of_csv_gets_back_what_was_written(text):
    told = report()
    told["files"] = [{**told["files"][0], "reason": text}]

    (row,) = (row for row in table(told) if row["section"] == "files")

    assert row["reason"] in (text, f"'{text}")


def test_a_run_with_nothing_in_it_is_a_report_too():
    files = render(empty())

    assert files["report.html"].decode().count('class="none"') == 7
    assert len(table(empty())) == 1
    assert json.loads(files["report.json"])["match_rate"] is None


def test_drift_and_rejected_rows_stand_out():
    told = report(clearing=[{"network": "visa", "currency": "USD", "ledger": 5, "open": 4, "drift": 1}])
    told["files"] = [{**told["files"][0], "rejected": 3}]

    assert page(report()).count('class="wrong"') == 0
    assert page(told).count('class="wrong"') == 4
    assert "0.01 USD visa" in Elements(page(told)).text


def test_the_charts_are_pictures_that_can_also_be_read_out():
    charts = ElementTree.fromstring(f"<div>{report_chart.charts(report()['totals'])}</div>")

    lines, risk = (chart.attrib["aria-label"] for chart in charts)
    assert lines == "Lines by class: matched: 10; missing_at_network: 1; amount_mismatch: 2; duplicate_at_network: 1"
    assert risk == (
        "Money at risk by class: missing_at_network: 5,000 JPY; duplicate_at_network: 1.234 KWD; "
        "amount_mismatch: 1,234.56 USD"
    )


@given(st.lists(st.tuples(st.sampled_from([*report_chart.CLASSES]), st.integers(0, 10**15)), min_size=1, max_size=20))
def test_every_bar_is_seen_and_stays_in_its_chart(rows):
    totals = [total(name, lines=number, at_risk=number) for name, number in rows]

    for chart in ElementTree.fromstring(f"<div>{report_chart.charts(totals)}</div>"):
        _, _, width, height = map(int, chart.attrib["viewBox"].split())
        for bar in chart.iter("rect"):
            x, y, length = (int(bar.attrib[name]) for name in ("x", "y", "width"))
            assert length >= 2
            assert x + length <= width
            assert y + 15 <= height


def test_every_class_of_the_contract_has_a_place_in_the_chart():
    from pathlib import Path

    contract = (Path(__file__).parents[3] / "docs/reconciliation.md").read_text()
    classes = contract.partition("## Classes")[2].partition("\nRules,")[0]
    named = re.findall(r"^\| `(\w+)` \|.*\| (yes|no) \|$", classes, re.MULTILINE)

    assert {name for name, _ in named} == set(report_chart.CLASSES)
    assert {name for name, answer in named if answer == "yes"} == {
        name for name, kind in report_chart.CLASSES.items() if kind == "open"
    }
