package csvrow_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
)

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func source[T any](text string, o *csvrow.Options) *csvrow.Source[T] {
	return csvrow.NewSource[T](func() (io.ReadSeekCloser, error) {
		return nopCloser{bytes.NewReader([]byte(text))}, nil
	}, o)
}

// rows reads all rows of src from its start.
func rows[T any](t testing.TB, src batchsync.Source[T]) []batchsync.Row[T] {
	t.Helper()
	all, err := tryRows(src)
	require.NoError(t, err)
	return all
}

func tryRows[T any](src batchsync.Source[T]) ([]batchsync.Row[T], error) {
	var all []batchsync.Row[T]
	for p, err := range src.Pages(context.Background(), "") {
		if err != nil {
			return all, err
		}
		all = append(all, p.Rows...)
	}
	return all, nil
}
