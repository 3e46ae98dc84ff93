-- oldest: 1
-- The ids that each inbox has seen.
CREATE TABLE crosstie_inbox (
  inbox TEXT NOT NULL,
  id    TEXT NOT NULL,
  at_us INTEGER NOT NULL, -- when the message was made, microseconds since 1970 UTC
  PRIMARY KEY (inbox, id)
) WITHOUT ROWID;

CREATE INDEX crosstie_inbox_at ON crosstie_inbox (inbox, at_us);

-- Up to where each inbox has forgotten: older messages are refused.
CREATE TABLE crosstie_inbox_mark (
  inbox     TEXT NOT NULL PRIMARY KEY,
  before_us INTEGER NOT NULL
) WITHOUT ROWID;
