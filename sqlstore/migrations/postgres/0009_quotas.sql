-- oldest: 1
-- What is known of allowances of calls that processes share: package requestreply/quota.
CREATE TABLE crosstie_quotas (
  name      TEXT COLLATE "C" PRIMARY KEY,
  version   BIGINT NOT NULL,   -- grows with every change: who saves must know it
  used      BIGINT NOT NULL,
  allowance BIGINT NOT NULL,   -- as the other side named it; 0: it has not
  until_us  BIGINT NOT NULL,   -- the end of the period; 0: none yet
  shut_us   BIGINT NOT NULL    -- nothing is taken before; 0: nothing is in the way
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
