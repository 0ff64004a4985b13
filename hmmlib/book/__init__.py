"""What only the pages of the book use: source on display, live figures, exercises."""
