"""The journeys of a reader who runs the book, walked from the first step to the last.

make journeys                  # or: python -m journeys [colab] [install] [binder]
python -m journeys oldest newest    # some minutes more: once a week
"""
