-- oldest: 1
-- Where each partition of each sync is, what it has counted, and who may write it.
CREATE TABLE crosstie_syncs (
  sync     TEXT NOT NULL,
  part     TEXT NOT NULL,
  run      INTEGER NOT NULL, -- 0: never saved
  position TEXT NOT NULL,    -- of the source
  done     INTEGER NOT NULL,
  full_run INTEGER NOT NULL, -- the run began at the start of the source
  counts   TEXT NOT NULL,    -- JSON
  epoch    INTEGER NOT NULL, -- grows with each lease
  owner    TEXT NOT NULL,
  until_us INTEGER NOT NULL, -- end of the lease, microseconds since 1970 UTC; 0: free
  PRIMARY KEY (sync, part)
) WITHOUT ROWID;

-- Rows that could not be brought into a sink.
CREATE TABLE crosstie_sync_dead (
  sync      TEXT NOT NULL,
  run       INTEGER NOT NULL,
  part      TEXT NOT NULL,
  n         INTEGER NOT NULL, -- number of the row in its run
  id        TEXT NOT NULL,
  pos       TEXT NOT NULL,
  value     BLOB,             -- the original
  cut       INTEGER NOT NULL, -- value is only its beginning
  why       TEXT NOT NULL,
  transient INTEGER NOT NULL,
  at_us     INTEGER NOT NULL,
  PRIMARY KEY (sync, run, part, n)
) WITHOUT ROWID;
