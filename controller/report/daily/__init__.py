"""A day in pages: every grid event, the quality of the data, an index. Read as a stream; a day never lies in memory."""
