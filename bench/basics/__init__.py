"""What every room uses: the words of rows and verdicts, errors for a person, numbers as text, whole files."""
