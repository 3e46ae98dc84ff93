-- oldest: 1
-- What each inbox has seen, and since when it forgets nothing.
CREATE TABLE crosstie_inbox (
  inbox TEXT NOT NULL,
  id    TEXT NOT NULL,
  at_us INTEGER NOT NULL, -- when the message was made, microseconds since 1970 UTC
  PRIMARY KEY (inbox, id)
) WITHOUT ROWID;

CREATE INDEX crosstie_inbox_at ON crosstie_inbox (inbox, at_us);
