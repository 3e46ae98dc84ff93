-- oldest: 1

-- The name of this log, made at its birth, and the last epoch of dropped groups.
CREATE TABLE crosstie_log_life (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  life  TEXT NOT NULL,
  epoch INTEGER NOT NULL
);

INSERT INTO crosstie_log_life VALUES (1, lower(hex(randomblob(8))), 0);

-- The topics. Positions in a topic are numbers from 1 on, without gaps.
CREATE TABLE crosstie_log_topic (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL UNIQUE,
  head    INTEGER NOT NULL, -- the last position given
  gone    INTEGER NOT NULL, -- the last position trimmed
  last_us INTEGER NOT NULL  -- when head was given, microseconds since 1970 UTC
);

-- The events of a topic lie together and in order: appending is one write at
-- the end of a run of rows, reading is one walk, and there is no other index.
CREATE TABLE crosstie_log (
  seq          INTEGER PRIMARY KEY, -- id of the topic << 40 | position
  hash         INTEGER NOT NULL,    -- of the key, or of the id: its shard
  id           TEXT NOT NULL,
  source       TEXT NOT NULL,
  type         TEXT NOT NULL,
  subject      TEXT NOT NULL,
  schema       TEXT NOT NULL,
  content_type TEXT NOT NULL,
  key          TEXT NOT NULL,
  time_us      INTEGER NOT NULL,
  header       TEXT,                -- JSON
  data         BLOB NOT NULL,
  appended_us  INTEGER NOT NULL
);

-- How far the groups of a topic have come, shard by shard, and who may say so.
CREATE TABLE crosstie_log_group (
  topic    TEXT NOT NULL,
  grp      TEXT NOT NULL,
  shard    INTEGER NOT NULL,
  shards   INTEGER NOT NULL,
  position TEXT NOT NULL,    -- a cursor
  epoch    INTEGER NOT NULL, -- grows with each lease
  owner    TEXT NOT NULL,
  until_us INTEGER NOT NULL, -- end of the lease; 0: free
  saved_us INTEGER NOT NULL,
  PRIMARY KEY (topic, grp, shard)
) WITHOUT ROWID;

-- Events that a group could not handle, whole: they outlive the log's own.
CREATE TABLE crosstie_log_dead (
  pos          INTEGER PRIMARY KEY AUTOINCREMENT,
  topic        TEXT NOT NULL,
  grp          TEXT NOT NULL,
  position     TEXT NOT NULL,
  hash         INTEGER NOT NULL,
  id           TEXT NOT NULL,
  source       TEXT NOT NULL,
  type         TEXT NOT NULL,
  subject      TEXT NOT NULL,
  schema       TEXT NOT NULL,
  content_type TEXT NOT NULL,
  key          TEXT NOT NULL,
  time_us      INTEGER NOT NULL,
  header       TEXT,
  data         BLOB NOT NULL,
  appended_us  INTEGER NOT NULL,
  reason       TEXT NOT NULL,
  error        TEXT NOT NULL,
  attempts     INTEGER NOT NULL,
  at_us        INTEGER NOT NULL,
  redriven     INTEGER NOT NULL,
  discarded    TEXT NOT NULL -- why; empty: it is not
);

CREATE UNIQUE INDEX crosstie_log_dead_event ON crosstie_log_dead (topic, grp, position);

CREATE INDEX crosstie_log_dead_id ON crosstie_log_dead (topic, grp, id);

CREATE INDEX crosstie_log_dead_group ON crosstie_log_dead (topic, grp);

CREATE INDEX crosstie_log_dead_redriven ON crosstie_log_dead (topic, grp) WHERE redriven = 1;
