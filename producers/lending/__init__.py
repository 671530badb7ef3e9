"""Loans: what a lender sees and decides, what a loan costs and how it is repaid."""
