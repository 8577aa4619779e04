"""Pages: one file for each; it says what can be asked, what is shown, and how that is found."""
