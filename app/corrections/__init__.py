"""What people said the answer should have been: answers that are kept, corrections of them, and their review.

The database needs the extra ``corrections``; nothing but app.corrections.journal and what it imports needs it.
"""
