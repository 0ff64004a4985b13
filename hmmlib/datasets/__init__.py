"""The data of the book. All but the full household series comes with the package."""
