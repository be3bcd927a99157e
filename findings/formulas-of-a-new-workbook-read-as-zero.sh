#!/bin/sh
# XlsxWriter 3.3.1, openpyxl 3.1.5.
#
# A workbook whose formulas were never computed is expected to have no values: openpyxl's own files read
# with data_only=True give None for every formula, and readers test for None to find them. A workbook
# that XlsxWriter wrote (also through pandas) gives 0 for every formula instead, because it stores a zero
# with each and asks the spreadsheet program to compute all of them when it opens the file. =1 reads as 0,
# and so does =IF(TRUE,"joy","") - a label column of formulas is a column of negatives, without a warning.
#
# The request to compute (fullCalcOnLoad) in the workbook is what gives it away.
#
# Seen: "openpyxl: [None, None], XlsxWriter: [0, 0], fullCalcOnLoad: True".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check XlsxWriter==3.3.1 openpyxl==3.1.5
cd "$scratch"
"$scratch/venv/bin/python" - <<'PYTHON'
import openpyxl
import xlsxwriter

FORMULAS = ["=1", '=IF(TRUE,"joy","")']
with xlsxwriter.Workbook("xlsxwriter.xlsx") as book:
    book.add_worksheet().write_row(0, 0, FORMULAS)
own = openpyxl.Workbook()
own.active.append(FORMULAS)
own.save("openpyxl.xlsx")
values = {}
for name in ("openpyxl", "xlsxwriter"):
    read = openpyxl.load_workbook(f"{name}.xlsx", data_only=True)
    values[name] = [cell.value for cell in read.active[1]]
asks = read.calculation.fullCalcOnLoad
print(f"openpyxl: {values['openpyxl']}, XlsxWriter: {values['xlsxwriter']}, fullCalcOnLoad: {asks}")
assert values == {"openpyxl": [None, None], "xlsxwriter": [0, 0]}, values
assert asks
PYTHON
