"""Write the tickets of an invented online shop, as CSV or as a workbook by the name's ending.

    python make_data.py tickets.csv
    python make_data.py tickets.xlsx --rows 400 --seed 0

Every text is put together from sentences written for this example; nobody's mail is in it. What makes
it resemble a real mailbox: several topics in one mail, sentences that name a topic without being about
it, greetings and signatures, slips of the keyboard, and one label in thirty that was forgotten.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import random
from collections.abc import Sequence
from pathlib import Path

COLUMNS = ("Ticket", "Opened", "Channel", "Message", "Topics")

SENTENCES = {
    "billing": (
        "I was charged {times} for order {order}.",
        "The invoice shows {amount}, but the shop said {other}.",
        "Why is there a fee of {amount} on my card statement?",
        "My discount code {code} was not taken off the total.",
        "Could you send the invoice to our accountant with the VAT number on it?",
        "Direct debit took {amount} on the wrong day.",
        "You billed me although I pay by voucher.",
        "The price went up between the cart and the payment page.",
        "I see {amount} pending on my account since {day}, what is it for?",
        "Please correct the company name on invoice {order}.",
    ),
    "refund": (
        "I sent the {item} back {ago} and still wait for my money.",
        "Please pay back the {amount}.",
        "When will I get my money back?",
        "The return arrived at your warehouse on {day}, yet nothing was credited.",
        "You only returned part of the sum, {amount} is missing.",
        "I'd rather have the money than a voucher.",
        "A credit note is no use to me, transfer it to my bank please.",
        "The return portal says 'completed' but no transfer came.",
        "I want to give the {item} back and be reimbursed.",
    ),
    "delivery": (
        "My parcel should have been here on {day}.",
        "Tracking has not moved for {days} days.",
        "The courier left it with a neighbour I don't know.",
        "It says delivered, but nobody rang and there is nothing at the door.",
        "Can you send it to another address? I moved to {city}.",
        "Where is order {order}?",
        "The driver refused to carry the {item} upstairs.",
        "Is it possible to get it before {day}?",
        "The depot in {city} sent the package back to you for no reason.",
        "Half of the order came, the {item} did not.",
    ),
    "damage": (
        "The {item} arrived with a crack across the front.",
        "One leg of the {item} is bent.",
        "The box was crushed and the {item} inside scratched.",
        "After {days} days the {item} stopped working.",
        "There is a dent in it and the paint came off.",
        "The {item} makes a grinding noise since day one.",
        "Two screws were missing and the hinge is broken.",
        "The glass was in pieces when I opened it.",
        "The zip tore the first time I used it.",
        "It leaks from the bottom.",
    ),
    "account": (
        "I cannot log in any more.",
        "The password mail never arrives.",
        "Please change my address to {mail}.",
        "My account is locked after three attempts.",
        "Somebody else's orders are shown under my name!",
        "I would like my profile and all data to be deleted.",
        "The code by text message comes ten minutes late and is then invalid.",
        "I have two profiles, can they be merged?",
        "It does not accept my new phone number.",
    ),
    "website": (
        "The checkout button does nothing in {browser}.",
        "The app closes itself when I open my wish list.",
        "Pictures of the {item} don't load.",
        "I get 'error 500' after choosing the payment.",
        "The search finds nothing, whatever I type.",
        "On my phone the menu covers the whole page.",
        "The filter for sizes is ignored since the update.",
        "Your cookie window can't be closed in {browser}.",
        "The page keeps reloading when I enter the postcode.",
    ),
    "cancellation": (
        "Please stop order {order}, I no longer need it.",
        "I want to end my membership by the end of the month.",
        "Cancel the {item} but leave the rest of the order.",
        "How do I get out of the subscription?",
        "I ordered the wrong size by mistake, please don't send it.",
        "I have found it elsewhere, so call it off.",
        "There is no button to stop the monthly box.",
        "I wrote on {day} that I withdraw from the contract.",
    ),
    "praise": (
        "Your colleague on the phone was wonderful.",
        "Thank you for sorting it out so fast last time!",
        "The {item} is even nicer than in the pictures.",
        "Best shop I have bought from in years.",
        "The handwritten card in the parcel made my day.",
        "Great service, I will tell my friends.",
        "I really love the {item}.",
    ),
}

ASIDE = {
    "refund": ("I don't want any money back, I just want it to work.", "No refund needed."),
    "delivery": ("It came on time, that is not the point.", "Delivery itself was fine."),
    "damage": ("Nothing is broken, by the way.", "The {item} itself is in perfect order."),
    "account": ("I was logged in the whole time.",),
    "billing": ("The amount on the bill is correct.",),
    "cancellation": ("I do not want to cancel.",),
}
"""Sentences that name a topic which is not the mail's."""

FILLER = (
    "I have written about this before.",
    "Please answer by mail, I am at work during the day.",
    "I've attached a photo.",
    "This is the second time this year.",
    "I have been a customer since {year}.",
    "Nobody picks up the phone.",
    "The chat told me to write here.",
    "It is a present, so it is rather urgent.",
    "My order number is {order}.",
)

UNLABELLED = (
    "Do you have a shop in {city}?",
    "Is the {item} made of oak or of beech?",
    "What are your opening hours on {day}?",
    "Do you still sell the {item} from last year's catalogue?",
    "Are you looking for staff at the moment?",
    "How many litres does the {item} hold?",
)
"""Questions for which there is no topic."""

GREETINGS = (
    "Hello,",
    "Hi there,",
    "Dear team,",
    "Good morning,",
    "hey",
    "To whom it may concern,",
    "",
)
CLOSINGS = ("Thanks, {name}", "Regards\n{name}", "{name}", "Cheers", "Sent from my phone", "", "")

SLOTS = {
    "item": ("lamp", "desk", "kettle", "armchair", "shelf", "rucksack", "vase", "bread bin", "mirror",
             "bike trailer", "coffee grinder", "rug"),
    "amount": ("12.90", "49 euros", "£19.99", "$120", "8,50 EUR", "230 euros"),
    "other": ("9.90", "39 euros", "£14.99", "$99", "5,50 EUR"),
    "times": ("twice", "three times", "two times"),
    "code": ("SPRING20", "WELCOME5", "FRIENDS"),
    "day": ("Monday", "Friday", "the 3rd", "12 May", "Saturday", "the 27th"),
    "days": ("four", "nine", "two", "10"),
    "ago": ("two weeks ago", "in March", "ten days ago", "a month ago"),
    "city": ("Leeds", "Utrecht", "Graz", "Porto", "Cork", "Malmö"),
    "browser": ("Firefox", "Safari", "Chrome"),
    "mail": ("mara@example.org", "j.oduya@example.com", "post@example.net"),
    "name": ("Mara", "J. Oduya", "Petra Lindqvist", "Tom", "Aylin K.", "R. Costa"),
    "year": ("2014", "2019", "2021"),
}  # fmt: skip

_HOW_MANY = (0, 1, 1, 1, 1, 1, 2, 2, 2, 3)
_NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopasdfghjklqxcvbnmz", strict=True))


def tickets(rows: int, seed: int) -> list[tuple[str, str, str, str, str]]:
    """Return the rows below `COLUMNS`; equal numbers give equal rows."""
    draw = random.Random(seed)
    start = datetime.date(2026, 1, 2)
    return [_ticket(number, start, draw) for number in range(rows)]


def _ticket(number: int, start: datetime.date, draw: random.Random) -> tuple[str, ...]:
    topics = draw.sample(sorted(SENTENCES), draw.choice(_HOW_MANY))
    body = [draw.choice(SENTENCES[topic]) for topic in topics]
    body += [
        draw.choice([each for each in SENTENCES[topic] if each not in body])
        for topic in topics
        if draw.random() < 0.3
    ]
    if not topics:
        body = [draw.choice(UNLABELLED)]
    others = sorted(set(ASIDE) - set(topics))
    if draw.random() < 0.25:
        body.append(draw.choice(ASIDE[draw.choice(others)]))
    if draw.random() < 0.5:
        body.append(draw.choice(FILLER))
    draw.shuffle(body)
    message = " ".join([draw.choice(GREETINGS), *body, draw.choice(CLOSINGS)]).strip()
    message = _slips(_filled(message, draw), draw)
    opened = start + datetime.timedelta(days=number // 3)
    written = [topic for topic in sorted(topics) if draw.random() > 1 / 30]
    channel = draw.choice(("mail", "mail", "chat", "form"))
    return (f"T-{1001 + number}", opened.isoformat(), channel, message, "; ".join(written))


def _filled(text: str, draw: random.Random) -> str:
    for slot, values in SLOTS.items():
        while f"{{{slot}}}" in text:
            text = text.replace(f"{{{slot}}}", draw.choice(values), 1)
    while "{order}" in text:
        text = text.replace("{order}", str(draw.randrange(20_000, 99_999)), 1)
    return text


def _slips(text: str, draw: random.Random) -> str:
    """Write as people in a hurry do: all small, a letter beside the right one, no full stops."""
    if draw.random() < 0.15:
        text = text.lower()
    if draw.random() < 0.1:
        text = text.replace(".", "")
    letters = list(text)
    for place, letter in enumerate(letters):
        if letter in _NEIGHBOURS and draw.random() < 0.004:
            letters[place] = _NEIGHBOURS[letter]
    return "".join(letters)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("output", type=Path, help="a name that ends with .csv or .xlsx")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    rows = [COLUMNS, *tickets(given.rows, given.seed)]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    if given.output.suffix == ".csv":
        with given.output.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        return
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(given.output)


if __name__ == "__main__":
    main()
