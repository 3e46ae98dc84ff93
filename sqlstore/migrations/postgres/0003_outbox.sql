-- oldest: 1
-- Messages that were accepted and have neither landed nor been parked. What
-- the usual message costs is one append here, one entry in the first index,
-- and their removal: autovacuum follows by the number of the removed, however
-- large the table is.
CREATE TABLE crosstie_outbox (
  seq           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never used twice, so that no late result meets another message
  part          BIGINT NOT NULL, -- hash of dest, and in the last 8 bits the lane
  due_us        BIGINT NOT NULL, -- with a key: 0, or above 0 for the head of a key that waits; with none: when it is due, or when its claim ends
  dest          TEXT COLLATE "C" NOT NULL,
  key           TEXT COLLATE "C" NOT NULL,
  id            TEXT COLLATE "C" NOT NULL,
  sum           BYTEA,           -- of messages their sender named
  content_type  TEXT NOT NULL,
  body          BYTEA NOT NULL,
  header        TEXT,            -- JSON
  accepted_us   BIGINT NOT NULL, -- microseconds since 1970 UTC, as all times
  not_before_us BIGINT NOT NULL, -- 0: none
  expires_us    BIGINT NOT NULL, -- 0: never
  attempt       BIGINT NOT NULL,
  -- Of messages with no key. It begins at 0, and by the way makes a transaction
  -- that accepts a message wait for the disk when it commits, whatever its
  -- session would do: an expression here costs less than to ask for its result.
  epoch         BIGINT NOT NULL DEFAULT CASE WHEN current_setting('synchronous_commit') = 'off'
                  THEN 0 * length(set_config('synchronous_commit', 'on', true)) ELSE 0 END,
  history       TEXT             -- JSON
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX crosstie_outbox_due ON crosstie_outbox (part, due_us, key, seq);

-- The keys that wait for their head.
CREATE INDEX crosstie_outbox_waits ON crosstie_outbox (part, key) WHERE due_us > 0 AND key <> '';

-- Who holds which lane.
CREATE TABLE crosstie_outbox_lane (
  part     BIGINT NOT NULL,
  dest     TEXT COLLATE "C" NOT NULL,
  owner    TEXT NOT NULL,
  epoch    BIGINT NOT NULL, -- grows with each lease
  until_us BIGINT NOT NULL, -- end of the lease; 0: free
  PRIMARY KEY (part, dest)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Keys whose messages are parked until one is redriven.
CREATE TABLE crosstie_outbox_stop (
  dest TEXT COLLATE "C" NOT NULL,
  key  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (dest, key)
);

-- Messages that their sender named, to know them when they are sent again.
CREATE TABLE crosstie_outbox_id (
  id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  sum   BYTEA NOT NULL,
  at_us BIGINT NOT NULL,
  live  BIGINT NOT NULL -- 0 when the message is gone
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX crosstie_outbox_id_gone ON crosstie_outbox_id (at_us) WHERE live = 0;

-- Dead letters.
CREATE TABLE crosstie_outbox_dead (
  pos           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  part          BIGINT NOT NULL,
  dest          TEXT COLLATE "C" NOT NULL,
  key           TEXT COLLATE "C" NOT NULL,
  id            TEXT COLLATE "C" NOT NULL,
  sum           BYTEA,
  content_type  TEXT NOT NULL,
  body          BYTEA NOT NULL,
  header        TEXT,
  accepted_us   BIGINT NOT NULL,
  not_before_us BIGINT NOT NULL,
  expires_us    BIGINT NOT NULL,
  attempt       BIGINT NOT NULL,
  history       TEXT,
  parked_us     BIGINT NOT NULL,
  reason        TEXT NOT NULL,
  discarded     TEXT NOT NULL -- why; empty: it is not
);

CREATE INDEX crosstie_outbox_dead_id ON crosstie_outbox_dead (id);

CREATE INDEX crosstie_outbox_dead_key ON crosstie_outbox_dead (dest, key);
