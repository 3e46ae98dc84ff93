-- oldest: 1
-- What is known of a shard whose holders die: how many leases in a row have
-- run out without the position having moved, and how often the event that
-- follows it was begun alone.
ALTER TABLE crosstie_log_group ADD COLUMN died INTEGER NOT NULL DEFAULT 0;

ALTER TABLE crosstie_log_group ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
