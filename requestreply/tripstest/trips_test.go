package tripstest_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/tripstest"
)

// A taster is a test that shall fail.
type taster struct {
	testing.TB
	ends []func()
	said []string
}

func (t *taster) Helper()                  {}
func (t *taster) Context() context.Context { return context.Background() }
func (t *taster) Cleanup(fn func())        { t.ends = append(t.ends, fn) }
func (t *taster) Error(args ...any)        { t.said = append(t.said, fmt.Sprint(args...)) }

func (t *taster) end() {
	for _, fn := range t.ends {
		fn()
	}
}

func ask(ctx context.Context, target string) error {
	_, err := requestreply.Run(ctx, nil, requestreply.Op{Target: target}, func(context.Context) (int, error) { return 0, nil })
	return err
}

func here() (file string, line int) {
	_, file, line, _ = runtime.Caller(1)
	return file, line
}

func TestAtMost(t *testing.T) {
	t.Run("enough", func(t *testing.T) {
		in := &taster{}
		ctx := tripstest.AtMost(in, 2)
		require.NoError(t, errors.Join(ask(ctx, "stock"), ask(ctx, "stock")))
		in.end()
		require.Empty(t, in.said)
	})
	t.Run("too many, by site", func(t *testing.T) {
		in := &taster{}
		ctx := tripstest.AtMost(in, 2)
		_, err := requestreply.Run(ctx, nil, requestreply.Op{Target: "prices"}, func(context.Context) (int, error) { return 0, nil })
		file, line := here()
		require.NoError(t, err)
		for range 25 {
			_, err := requestreply.Run(ctx, nil, requestreply.Op{Target: "stock"}, func(context.Context) (int, error) { return 0, nil })
			require.NoError(t, err)
		}
		_, last := here()
		in.end()
		require.Equal(t, []string{fmt.Sprintf("26 calls were made, want at most 2:"+
			"\n\t25 to \"stock\" from %s:%d\n\t1 to \"prices\" from %s:%d"+
			"\nask for more at once: an endpoint that takes a list, or coalesce.Batcher", file, last-3, file, line-1)}, in.said)
		require.Equal(t, "trips_test.go", filepath.Base(file))
	})
	t.Run("none at all", func(t *testing.T) {
		in := &taster{}
		ctx := tripstest.AtMost(in, 0)
		require.NoError(t, ask(ctx, "stock"))
		in.end()
		require.Len(t, in.said, 1)
	})
	t.Run("more places than are told apart", func(t *testing.T) {
		in := &taster{}
		ctx := tripstest.AtMost(in, 0)
		for i := range 300 {
			require.NoError(t, ask(ctx, fmt.Sprint("target-", i)))
		}
		in.end()
		require.Contains(t, in.said[0], "300 calls")
		require.Contains(t, in.said[0], "\n\t44 others")
	})
}
