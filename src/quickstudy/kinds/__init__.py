"""What sorts of examples there are: each decodes one file and varies a batch."""
