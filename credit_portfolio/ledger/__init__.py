"""What customers owed and paid: open a ledger, check it, and see it as of a day."""
