"""The data of the book, all of it in the package: no download, no network."""
