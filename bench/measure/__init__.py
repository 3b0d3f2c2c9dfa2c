"""From a plan to rows on disk: processes that take turns, timing, conditions."""
