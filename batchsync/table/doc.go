// Package table makes a table of a SQL database a source and a sink of
// batchsync.
//
//	type Item struct {
//		SKU   string  `db:"sku"`
//		Price float64 `db:"price"`
//		Note  *string `db:"note"` // may be NULL
//	}
//	items, err := table.New[Item](db, "items", "sku", nil)
//
// It takes any database/sql driver for SQLite 3.39 or newer; its SQL is the
// part that PostgreSQL has as well, but for the ? of parameters. It does not
// create or alter tables.
//
// # As a sink
//
// Rows are upserted by the key column, one statement a row, two if the key is
// there; the database compares, so that a row that did not change is not
// written and counts as unchanged. A run over unchanged input therefore costs
// two index look-ups a row and no write. If the checkpoint store is on the same
// *sql.DB (sqlstore.Open(ctx, db, ...).Syncs()), rows and checkpoint are one
// commit.
//
// The key of a row is its field; its ID is only used to delete, and must then
// be the text of the key.
//
// # As a source
//
// Pages are read in the order of the key, by key range. A table that changes
// meanwhile is seen page by page, not as of one moment.
//
// # Fields
//
// A field's tag names its column; without a tag the column has the field's
// name; "-" leaves the field out. It may be a string, bool, integer, float,
// []byte (nil is NULL), time.Time, a pointer to one of these (nil is NULL), or
// a type that implements driver.Valuer and sql.Scanner, such as sql.Null or
// csvrow.Opt. The key is a string or a signed integer. Times are stored in UTC
// as text of fixed width, 2006-01-02T15:04:05.000000000Z, which sorts and which
// SQLite's date functions read. NaN and integers beyond 63 bits are errors of
// their row.
//
// # Errors
//
// batchsync.ErrSchema: T cannot be mapped, or the table lacks what T needs.
// batchsync.ErrCursor: the position is not one of this package. A row that
// breaks a constraint is a failed row. Errors name the table and no values,
// but for what the engine says itself.
//
// # Concurrency
//
// A [Table] is safe for concurrent use.
//
// # Testing
//
// Any SQLite driver on an in-memory database will do.
package table
