"""Profiles are data; a wrong one is told how to be right."""

from __future__ import annotations

import dataclasses

import pytest

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.schema import (
    COLUMNS,
    NAMES,
    PROFILES,
    REQUIRED,
    Profile,
    match_columns,
    resolve_profile,
)
from credit_portfolio.ledger.source import open_ledger

GERMAN = {"customer_id": "Kunde", "amount": "Betrag", "invoice_date": "Datum"}


def test_no_profile_is_the_canonical_one():
    assert resolve_profile(None) is PROFILES["canonical"]
    assert set(PROFILES["canonical"].columns) == set(NAMES)
    assert all(column.meaning for column in COLUMNS)


def test_a_profile_cannot_be_changed():
    with pytest.raises(TypeError):
        PROFILES["ibm"].columns["amount"] = "x"
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROFILES["ibm"].name = "x"


def test_an_unknown_profile_is_answered_with_the_near_one():
    with pytest.raises(ModelError, match=r"'canonicle' is not known.*Did you mean 'canonical'"):
        resolve_profile("canonicle")
    with pytest.raises(TypeError, match="not int"):
        resolve_profile(3)


def test_a_mapping_names_what_differs_and_leaves_the_rest():
    profile = resolve_profile(GERMAN)
    assert profile.columns["amount"] == "Betrag"
    assert profile.columns["due_date"] == "due_date"
    assert "disputed" in profile.may_be_absent
    assert "amount" not in profile.may_be_absent


def test_a_reversed_mapping_is_said_to_be_so():
    with pytest.raises(ModelError, match="turn it round"):
        resolve_profile({value: key for key, value in GERMAN.items()})


def test_an_unknown_canonical_name_is_answered_with_the_near_one():
    with pytest.raises(ModelError, match=r"names 'ammount'.*Did you mean 'amount'"):
        resolve_profile({"ammount": "Betrag"})


def test_a_source_column_is_used_once():
    with pytest.raises(ModelError, match="'Tag' is mapped to 'invoice_date', 'due_date'"):
        resolve_profile({"invoice_date": "Tag", "due_date": "Tag"})


def test_a_mapping_that_takes_a_required_name_away_says_so():
    with pytest.raises(ModelError, match="map 'due_date' too"):
        resolve_profile({"invoice_date": "due_date"})


def test_a_profile_without_a_required_column_is_refused():
    with pytest.raises(ModelError, match="no source column for 'due_date'"):
        Profile("mine", {name: name for name in REQUIRED if name != "due_date"})


def test_an_optional_column_that_was_named_must_be_there():
    profile = resolve_profile({"disputed": "Streit"})
    with pytest.raises(DataError, match=r"no column 'Streit' \(for disputed\)"):
        match_columns(profile, list(REQUIRED), "the book")


def test_columns_are_found_and_the_rest_are_groups():
    mapped, groups = match_columns(PROFILES["canonical"], [*REQUIRED, "Region"], "the book")
    assert mapped == {name: index for index, name in enumerate(REQUIRED)}
    assert groups == {"Region": 5}


def test_a_column_in_use_is_no_suggestion():
    names = ["customer_id", "invoice_id", "invoice_date", "amount", "due dte"]
    with pytest.raises(DataError, match=r"Did you mean 'due dte'") as caught:
        match_columns(PROFILES["canonical"], names, "the book")
    assert "'invoice_date'?" not in str(caught.value)
    with pytest.raises(DataError) as caught:
        match_columns(PROFILES["canonical"], names[:4], "the book")
    assert "Did you mean" not in str(caught.value)


def test_a_file_of_another_known_system_is_recognised(csv_file):
    ibm = PROFILES["ibm"].columns
    text = ",".join(ibm.values()) + "\nC1,1,01/10/2024,02/09/2024,5.26,,No\n"
    path = csv_file(text)
    with pytest.raises(DataError, match="profile='ibm' fits all the required columns") as caught:
        open_ledger(path)
    assert "Did you mean" not in str(caught.value)
    assert open_ledger(path, profile="ibm").quality.file_name == "book.csv"


def test_a_mapping_opens_a_book(book):
    frame = book({}).rename(columns=GERMAN)
    assert open_ledger(frame, profile=GERMAN).n_invoices == 1


def test_a_profile_of_ones_own_opens_a_book(book):
    mine = Profile(
        "mine",
        {name: name.upper() for name in NAMES},
        date_formats=("%d %b %Y",),
        true_words=("ja",),
        false_words=("nein",),
    )
    frame = book({"disputed": "JA"}, {"disputed": "nein"}, {"disputed": "yes"})
    frame = frame.assign(invoice_date="10 Jan 2024", due_date="09 feb 2024")
    ledger = open_ledger(frame.rename(columns=str.upper), profile=mine)
    assert list(ledger.to_frame()["disputed"]) == [True, False]
    assert list(ledger.quality.rejected["rule"]) == ["unknown_disputed_word"]
    assert ledger.groups == ("REGION",)


def test_the_currency_of_a_profile_is_the_label_of_its_money(book):
    profile = Profile("mine", {name: name for name in REQUIRED}, currency="SEK")
    frame = book({})[list(REQUIRED)]
    assert open_ledger(frame, profile=profile).currency == "SEK"


def test_a_profile_without_currency_does_not_overlook_a_currency_column(book):
    profile = Profile("mine", {name: name for name in REQUIRED})
    with pytest.raises(DataError, match="extra columns 'currency'"):
        open_ledger(book({})[[*REQUIRED, "currency"]], profile=profile)
