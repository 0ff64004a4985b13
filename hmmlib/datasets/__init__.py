"""The data of the book. All comes with the package but the full household and UK-DALE."""
