"""What a run leaves behind for people: pages for the analyst, a receipt for each actor.

Everything here is made from the run's manifest and its rejections dataset, so that a page can be made again.
"""
