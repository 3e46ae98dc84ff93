package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// Callbacks returns what the callers' side of package remoteinvoke keeps: what
// callbacks said of jobs elsewhere.
func (d *DB) Callbacks() remoteinvoke.CallbackStore { return callbackStore{d} }

type callbackStore struct{ d *DB }

const selectCallback = `SELECT status FROM crosstie_callbacks WHERE service = ? AND caller = ? AND id = ?`

// Put implements [remoteinvoke.CallbackStore].
func (s callbackStore) Put(ctx context.Context, k remoteinvoke.Key, st remoteinvoke.Status) (changed bool, err error) {
	text, err := json.Marshal(st)
	if err != nil {
		return false, refused("callback put", err)
	}
	err = s.d.write(ctx, "callback put", func(w *writer) error {
		var was string
		changed = true
		err := w.row(selectCallback, k.Service, k.Caller, k.ID).Scan(&was)
		if err == nil {
			var kept remoteinvoke.Status
			if err := json.Unmarshal([]byte(was), &kept); err != nil {
				return refused("callback put", err)
			}
			changed = st.Newer(kept)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) || !changed {
			return err
		}
		_, err = w.exec(`INSERT OR REPLACE INTO crosstie_callbacks (service, caller, id, version, status, at_us) VALUES (?, ?, ?, ?, ?, ?)`,
			k.Service, k.Caller, k.ID, st.Version, string(text), micros(w.now()))
		return err
	})
	return changed && err == nil, err
}

// Load implements [remoteinvoke.CallbackStore].
func (s callbackStore) Load(ctx context.Context, k remoteinvoke.Key) (st remoteinvoke.Status, err error) {
	var text string
	err = s.d.readRow(ctx, "callback load", []any{&text}, selectCallback, k.Service, k.Caller, k.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return st, remoteinvoke.ErrNotFound
	}
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		return st, refused("callback load", err)
	}
	return st, nil
}

// Forget implements [remoteinvoke.CallbackStore].
func (s callbackStore) Forget(ctx context.Context, before time.Time, most int) (n int, err error) {
	err = s.d.write(ctx, "callback forget", func(w *writer) error {
		changed, err := w.changed(`DELETE FROM crosstie_callbacks WHERE (service, caller, id) IN
			(SELECT service, caller, id FROM crosstie_callbacks WHERE at_us < ? ORDER BY at_us LIMIT ?)`,
			micros(before), max(min(most, forgetPage), 0))
		n = int(changed)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
