package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
)

var errCrash = errors.New("the process ends here")

// TestAntiPatternDualWrite: a database and a message in two steps differ after
// a crash between them, whichever comes first. In one transaction they cannot.
func TestAntiPatternDualWrite(t *testing.T) {
	d, db := open(t, 8, nil)
	table(t, db)
	var published []string // by a broker of its own
	publish := func(id string) { published = append(published, id) }

	commitFirst := func(id string, crash bool) error {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO note (id) VALUES (?)`, id); err != nil {
			return err
		}
		if crash {
			return errCrash
		}
		publish(id)
		return nil
	}
	publishFirst := func(id string, crash bool) error {
		publish(id)
		if crash {
			return errCrash
		}
		_, err := db.ExecContext(t.Context(), `INSERT INTO note (id) VALUES (?)`, id)
		return err
	}
	require.ErrorIs(t, commitFirst("a", true), errCrash)
	require.ErrorIs(t, publishFirst("b", true), errCrash)
	require.NoError(t, commitFirst("c", false))
	rows := notes(t, db)
	require.True(t, rows["a"] && rows["c"] && !rows["b"])
	require.Equal(t, []string{"b", "c"}, published, "a was never told, and b was told and never was")

	box := fireforget.NewOutbox(d.Outbox(), nil)
	ours := func(id string, crash bool) error {
		return d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO note (id) VALUES (?)`, id); err != nil {
				return err
			}
			if _, err := box.SendTx(ctx, tx, message(id)); err != nil {
				return err
			}
			if crash {
				return errCrash
			}
			return nil
		})
	}
	require.ErrorIs(t, ours("d", true), errCrash)
	require.NoError(t, ours("e", false))
	rows = notes(t, db)
	require.True(t, rows["e"] && !rows["d"])
	require.Equal(t, []string{"e"}, claimAll(t, d.Outbox()))
}
