package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crosstie/crosstie/requestreply/quota"
)

// Quotas returns the port of package requestreply/quota. A process saves once
// for each chunk it takes, and those saves share commits with all else.
func (d *DB) Quotas() quota.Store { return quotaStore{d} }

type quotaStore struct{ d *DB }

// Load implements [quota.Store].
func (s quotaStore) Load(ctx context.Context, name string) (st quota.State, version int64, err error) {
	var until, shut int64
	err = s.d.readRow(ctx, "quota load", []any{&version, &st.Used, &st.Limit, &until, &shut},
		`SELECT version, used, allowance, until_us, shut_us FROM crosstie_quotas WHERE name = ?`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return quota.State{}, 0, nil
	}
	st.Until, st.Shut = instantOf(until), instantOf(shut)
	return st, version, err
}

// Save implements [quota.Store].
func (s quotaStore) Save(ctx context.Context, name string, version int64, st quota.State) (ok bool, err error) {
	err = s.d.write(ctx, "quota save", func(w *writer) error {
		q := `UPDATE crosstie_quotas SET version = version + 1, used = ?, allowance = ?, until_us = ?, shut_us = ? WHERE name = ? AND version = ?`
		args := []any{st.Used, st.Limit, microsOf(st.Until), microsOf(st.Shut), name, version}
		if version == 0 {
			q = `INSERT INTO crosstie_quotas (version, used, allowance, until_us, shut_us, name) VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
			args = args[:5]
		}
		n, err := w.changed(q, args...)
		ok = n == 1
		return err
	})
	return ok && err == nil, err
}

// microsOf and instantOf keep the zero time as 0.
func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

func instantOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return fromMicros(us)
}
