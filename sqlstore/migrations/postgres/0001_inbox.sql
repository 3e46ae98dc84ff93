-- oldest: 1
-- The ids that each inbox has seen.
CREATE TABLE crosstie_inbox (
  inbox TEXT COLLATE "C" NOT NULL,
  id    TEXT COLLATE "C" NOT NULL,
  at_us BIGINT NOT NULL, -- when the message was made, microseconds since 1970 UTC
  PRIMARY KEY (inbox, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX crosstie_inbox_at ON crosstie_inbox (inbox, at_us);

-- Up to where each inbox has forgotten: older messages are refused.
CREATE TABLE crosstie_inbox_mark (
  inbox     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  before_us BIGINT NOT NULL
);
