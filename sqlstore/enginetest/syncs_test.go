package enginetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	sqltable "github.com/crosstie/crosstie/batchsync/table"
)

type item struct {
	SKU   string  `db:"sku" csv:"sku"`
	Stock int64   `db:"stock" csv:"stock"`
	Price float64 `db:"price" csv:"price"`
	Note  *string `db:"note" csv:"note"`
}

func TestSyncsQuick(t *testing.T) {
	d, db := open(t, 4, nil)
	_, err := db.ExecContext(t.Context(), `CREATE TABLE item (sku TEXT PRIMARY KEY, stock INTEGER NOT NULL CHECK (stock >= 0), price REAL, note TEXT)`)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `CREATE TABLE copy (sku TEXT PRIMARY KEY, stock INTEGER NOT NULL CHECK (stock >= 0), price REAL, note TEXT)`)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO item VALUES ('a', 1, 1.5, NULL), ('b', 2, 2.5, 'x'), ('c', 3, 3.5, '')`)
	require.NoError(t, err)
	src, err := sqltable.New[item](db, "item", "sku", &sqltable.Options{PageRows: 2})
	require.NoError(t, err)
	dst, err := sqltable.New[item](db, "copy", "sku", nil)
	require.NoError(t, err)
	s := batchsync.New("copy", src, dst, &batchsync.Options{Checkpoints: d.Syncs()})
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	t.Log(rep)
	require.True(t, rep.Atomic)
	rep, err = s.Run(t.Context())
	require.NoError(t, err)
	t.Log(rep)
	_, err = db.ExecContext(t.Context(), `UPDATE item SET stock = 9 WHERE sku = 'b'`)
	require.NoError(t, err)
	rep, err = s.Run(t.Context())
	require.NoError(t, err)
	t.Log(rep)
	require.EqualValues(t, 1, rep.Updated)
	require.EqualValues(t, 2, rep.Unchanged)
}
