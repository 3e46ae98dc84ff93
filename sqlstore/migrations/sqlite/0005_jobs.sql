-- oldest: 1
-- Jobs, from their acceptance until their ids need not be known any more.
-- Inputs and outputs are apart: a heartbeat writes a short row.
CREATE TABLE crosstie_jobs (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so that no late write meets another job
  service      TEXT NOT NULL,
  caller       TEXT NOT NULL,
  id           TEXT NOT NULL,
  sum          BLOB NOT NULL,    -- fingerprint of the input
  state        INTEGER NOT NULL, -- 0 queued, 1 running, 2 canceling, 3 done, 4 failed, 5 canceled
  version      INTEGER NOT NULL,
  attempt      INTEGER NOT NULL,
  done         INTEGER NOT NULL, -- progress
  total        INTEGER NOT NULL,
  note         TEXT NOT NULL,
  code         TEXT,             -- of a failure
  message      TEXT,
  epoch        INTEGER NOT NULL, -- grows with each claim
  owner        TEXT NOT NULL,
  held         INTEGER NOT NULL, -- 1: claimed, and not given up
  due_us       INTEGER NOT NULL, -- when it can be claimed; of a claim: when it runs out. Microseconds since 1970 UTC, as all times
  look_us      INTEGER NOT NULL, -- when a sweep has to look at it; 0: never
  start_by_us  INTEGER NOT NULL, -- 0: none
  deadline_us  INTEGER NOT NULL, -- 0: none
  keep         INTEGER NOT NULL, -- how long the result is kept after the end, in microseconds
  remember     INTEGER NOT NULL, -- and the id
  created_us   INTEGER NOT NULL,
  updated_us   INTEGER NOT NULL,
  ended_us     INTEGER NOT NULL, -- 0: it has not
  gone         INTEGER NOT NULL, -- 1: the result is not kept any more
  callback     TEXT NOT NULL,    -- URL; empty: none
  call_us      INTEGER NOT NULL, -- when the callback is due; of a claim: when it runs out; 0: not before the end, or settled
  call_epoch   INTEGER NOT NULL,
  call_held    INTEGER NOT NULL,
  call_attempt INTEGER NOT NULL
);

CREATE UNIQUE INDEX crosstie_jobs_id ON crosstie_jobs (service, caller, id);

CREATE INDEX crosstie_jobs_due ON crosstie_jobs (service, due_us) WHERE state < 3;

CREATE INDEX crosstie_jobs_look ON crosstie_jobs (service, look_us) WHERE look_us > 0;

CREATE INDEX crosstie_jobs_call ON crosstie_jobs (service, call_us) WHERE call_us > 0;

-- What belongs to a job and may be long.
CREATE TABLE crosstie_job_data (
  pos  INTEGER PRIMARY KEY, -- four times the job's seq, and 0 for the input, 1 for what was saved, 2 for the output
  data BLOB NOT NULL
);

-- What callbacks said of jobs elsewhere.
CREATE TABLE crosstie_callbacks (
  service TEXT NOT NULL,
  caller  TEXT NOT NULL,
  id      TEXT NOT NULL,
  version INTEGER NOT NULL,
  status  TEXT NOT NULL, -- JSON
  at_us   INTEGER NOT NULL,
  PRIMARY KEY (service, caller, id)
) WITHOUT ROWID;

CREATE INDEX crosstie_callbacks_at ON crosstie_callbacks (at_us);
