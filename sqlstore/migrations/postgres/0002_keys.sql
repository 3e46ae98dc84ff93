-- oldest: 1

-- Which requests were answered under which idempotency key, and how: package requestreply/server.
CREATE TABLE crosstie_keys (
  key      TEXT COLLATE "C" PRIMARY KEY, -- a hash of scope, method, route and the caller's key
  request  BYTEA NOT NULL,               -- the fingerprint of the request
  epoch    BIGINT NOT NULL,              -- of the last claim
  lease_us BIGINT NOT NULL,              -- when the claim runs out; 0: nobody holds it
  keep_us  BIGINT NOT NULL,              -- kept until then
  status   BIGINT,                       -- NULL: not answered yet
  header   TEXT,                         -- JSON
  body     BYTEA,
  missing  TEXT NOT NULL DEFAULT ''
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX crosstie_keys_keep ON crosstie_keys (keep_us);

-- The last epoch given to any key: it stays when keys are forgotten.
CREATE SEQUENCE crosstie_keys_epoch;
