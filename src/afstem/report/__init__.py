"""What a run leaves behind for people: pages for the analyst, a receipt for each actor.

Everything here is made from the run's manifest and its rejections dataset, so that a page can be made again.

The way to a page: what the manifest says (`told`) and what the datasets do (`counted`, `notices`) must be the same
(`agreement`); `build` puts it together into the `contents`, with the `conclusions` drawn from them, and `pages` writes.
"""
