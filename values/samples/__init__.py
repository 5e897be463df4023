"""The past of the values, in a table of its own.

triggers    write a sample for every change, in its transaction, whatever wrote the change
recording   does so where triggers can't, and catches up on what was missed
authors     tells the database who is writing
silence     when a source is taken for silent. Pure.
spans       how samples add up: least, most and mean of a stretch of time. Pure.
summaries   makes of old samples one summary a minute and one an hour, and forgets what is too old
cutting     takes silences that were told late off summaries
writing     how these two write
moments     answers how all values stood at a moment
history     answers what a value was, in as many points as are asked for
"""
