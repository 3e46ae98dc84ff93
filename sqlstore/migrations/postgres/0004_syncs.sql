-- oldest: 1
-- Where each partition of each sync is, what it has counted, and who may write it.
CREATE TABLE crosstie_syncs (
  sync     TEXT COLLATE "C" NOT NULL,
  part     TEXT COLLATE "C" NOT NULL,
  run      BIGINT NOT NULL,  -- 0: never saved
  position TEXT NOT NULL,    -- of the source
  done     BOOLEAN NOT NULL,
  full_run BOOLEAN NOT NULL, -- the run began at the start of the source
  counts   TEXT NOT NULL,    -- JSON
  epoch    BIGINT NOT NULL,  -- grows with each lease
  owner    TEXT NOT NULL,
  until_us BIGINT NOT NULL,  -- end of the lease, microseconds since 1970 UTC; 0: free
  token    TEXT NOT NULL DEFAULT '', -- a job on the sink's side that may still be at work; empty if there is none
  PRIMARY KEY (sync, part)
) WITH (fillfactor = 50);

-- Rows that could not be brought into a sink.
CREATE TABLE crosstie_sync_dead (
  sync      TEXT COLLATE "C" NOT NULL,
  run       BIGINT NOT NULL,
  part      TEXT COLLATE "C" NOT NULL,
  n         BIGINT NOT NULL,  -- number of the row in its run
  id        TEXT NOT NULL,
  pos       TEXT NOT NULL,
  value     BYTEA,            -- the original
  cut       BOOLEAN NOT NULL, -- value is only its beginning
  why       TEXT NOT NULL,
  transient BOOLEAN NOT NULL,
  at_us     BIGINT NOT NULL,
  PRIMARY KEY (sync, run, part, n)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
