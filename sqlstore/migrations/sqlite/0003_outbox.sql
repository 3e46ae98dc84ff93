-- oldest: 1
-- Messages that were accepted and have neither landed nor been parked. What
-- the usual message costs is one append here, one entry in the first index,
-- and their removal.
CREATE TABLE crosstie_outbox (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so that no late result meets another message
  part          INTEGER NOT NULL, -- hash of dest, and in the last 8 bits the lane
  due_us        INTEGER NOT NULL, -- with a key: 0, or above 0 for the head of a key that waits; with none: when it is due, or when its claim ends
  dest          TEXT NOT NULL,
  key           TEXT NOT NULL,
  id            TEXT NOT NULL,
  sum           BLOB,             -- of messages their sender named
  content_type  TEXT NOT NULL,
  body          BLOB NOT NULL,
  header        TEXT,             -- JSON
  accepted_us   INTEGER NOT NULL, -- microseconds since 1970 UTC, as all times
  not_before_us INTEGER NOT NULL, -- 0: none
  expires_us    INTEGER NOT NULL, -- 0: never
  attempt       INTEGER NOT NULL,
  epoch         INTEGER NOT NULL, -- of messages with no key
  history       TEXT              -- JSON
);

CREATE INDEX crosstie_outbox_due ON crosstie_outbox (part, due_us, key);

-- The keys that wait for their head.
CREATE INDEX crosstie_outbox_waits ON crosstie_outbox (part, key) WHERE due_us > 0 AND key <> '';

-- Who holds which lane.
CREATE TABLE crosstie_outbox_lane (
  part     INTEGER NOT NULL,
  dest     TEXT NOT NULL,
  owner    TEXT NOT NULL,
  epoch    INTEGER NOT NULL, -- grows with each lease
  until_us INTEGER NOT NULL, -- end of the lease; 0: free
  PRIMARY KEY (part, dest)
) WITHOUT ROWID;

-- Keys whose messages are parked until one is redriven.
CREATE TABLE crosstie_outbox_stop (
  dest TEXT NOT NULL,
  key  TEXT NOT NULL,
  PRIMARY KEY (dest, key)
) WITHOUT ROWID;

-- Messages that their sender named, to know them when they are sent again.
CREATE TABLE crosstie_outbox_id (
  id    TEXT NOT NULL PRIMARY KEY,
  sum   BLOB NOT NULL,
  at_us INTEGER NOT NULL,
  live  INTEGER NOT NULL -- 0 when the message is gone
) WITHOUT ROWID;

CREATE INDEX crosstie_outbox_id_gone ON crosstie_outbox_id (at_us) WHERE live = 0;

-- Dead letters.
CREATE TABLE crosstie_outbox_dead (
  pos           INTEGER PRIMARY KEY AUTOINCREMENT,
  part          INTEGER NOT NULL,
  dest          TEXT NOT NULL,
  key           TEXT NOT NULL,
  id            TEXT NOT NULL,
  sum           BLOB,
  content_type  TEXT NOT NULL,
  body          BLOB NOT NULL,
  header        TEXT,
  accepted_us   INTEGER NOT NULL,
  not_before_us INTEGER NOT NULL,
  expires_us    INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  history       TEXT,
  parked_us     INTEGER NOT NULL,
  reason        TEXT NOT NULL,
  discarded     TEXT NOT NULL -- why; empty: it is not
);

CREATE INDEX crosstie_outbox_dead_id ON crosstie_outbox_dead (id);

CREATE INDEX crosstie_outbox_dead_key ON crosstie_outbox_dead (dest, key);
