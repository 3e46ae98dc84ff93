-- oldest: 1
-- A job on the sink's side that may still be at work; empty if there is none.
ALTER TABLE crosstie_syncs ADD COLUMN token TEXT NOT NULL DEFAULT '';
