"""From the ledger to each customer's return on credit sales per period."""
