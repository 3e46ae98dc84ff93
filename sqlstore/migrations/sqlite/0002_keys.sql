-- oldest: 1

-- Which requests were answered under which idempotency key, and how: package requestreply/server.
CREATE TABLE crosstie_keys (
  key      TEXT PRIMARY KEY,      -- a hash of scope, method, route and the caller's key
  request  BLOB NOT NULL,         -- the fingerprint of the request
  epoch    INTEGER NOT NULL,      -- of the last claim
  lease_us INTEGER NOT NULL,      -- when the claim runs out; 0: nobody holds it
  keep_us  INTEGER NOT NULL,      -- kept until then
  status   INTEGER,               -- NULL: not answered yet
  header   TEXT,                  -- JSON
  body     BLOB,
  missing  TEXT NOT NULL DEFAULT ''
);

CREATE INDEX crosstie_keys_keep ON crosstie_keys (keep_us);

-- The last epoch given to any key: it stays when keys are forgotten.
CREATE TABLE crosstie_keys_epoch (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  last INTEGER NOT NULL
);

INSERT INTO crosstie_keys_epoch VALUES (1, 0);
