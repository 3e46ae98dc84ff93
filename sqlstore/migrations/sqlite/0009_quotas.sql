-- oldest: 1
-- What is known of allowances of calls that processes share: package requestreply/quota.
CREATE TABLE crosstie_quotas (
  name      TEXT PRIMARY KEY,
  version   INTEGER NOT NULL,   -- grows with every change: who saves must know it
  used      INTEGER NOT NULL,
  allowance INTEGER NOT NULL,   -- as the other side named it; 0: it has not
  until_us  INTEGER NOT NULL,   -- the end of the period; 0: none yet
  shut_us   INTEGER NOT NULL    -- nothing is taken before; 0: nothing is in the way
);
