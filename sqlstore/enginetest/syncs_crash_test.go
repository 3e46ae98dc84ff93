//go:build linux || darwin

package enginetest

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	sqltable "github.com/crosstie/crosstie/batchsync/table"
)

func init() {
	roles["sync"] = func(dir string) error { return syncUntilDone(dir, false) }
	roles["sync, planted bug"] = func(dir string) error { return syncUntilDone(dir, true) }
}

// early is the planted bug: a sink that acknowledges a page and writes it with
// the next one, so that the checkpoint runs ahead of the rows.
type early struct {
	*sqltable.Table[article]
	held []batchsync.Row[article]
}

func (e *early) Database() *sql.DB { return nil }

func (e *early) Write(ctx context.Context, rows []batchsync.Row[article]) ([]batchsync.Result, error) {
	if _, err := e.Table.Write(ctx, e.held); err != nil {
		return nil, err
	}
	e.held = rows
	out := make([]batchsync.Result, len(rows))
	for i := range out {
		out[i].Verdict = batchsync.Inserted
	}
	return out, nil
}

// syncUntilDone prints a line after each checkpoint, and the report at the end.
func syncUntilDone(dir string, planted bool) error {
	s, db, err := childOpen(filepath.Join(dir, "store.db"))
	if err != nil {
		return err
	}
	tab, err := sqltable.New[article](db, "article", "sku", nil)
	if err != nil {
		return err
	}
	var sink batchsync.Sink[article] = tab
	if planted {
		sink = &early{Table: tab}
	}
	o := &batchsync.Options{Checkpoints: s.Syncs(), Lease: 150 * time.Millisecond, MaxDead: -1}
	o.Progress = func(p batchsync.Progress) { _, _ = fmt.Println(p.Done) }
	run := batchsync.New("articles", source(filepath.Join(dir, "articles.csv"), 20), sink, o)
	tick := time.NewTicker(10 * time.Millisecond)
	for {
		rep, err := run.Run(context.Background())
		switch {
		case err == nil:
			b, err := json.Marshal(rep)
			fmt.Println("report", string(b))
			return err
		case !errors.Is(err, batchsync.ErrHeld) && !errors.Is(err, batchsync.ErrLost):
			return err
		}
		<-tick.C
	}
}

// killed runs role over rows and kills it at random moments, then lets it end.
// It returns the last report and what is in the database.
func killed(t *testing.T, role string, kills, rows int) (rep batchsync.Report, there, written, good int) {
	t.Helper()
	path, good := articles(t, rows)
	dir := filepath.Dir(path)
	_, db, err := childOpen(filepath.Join(dir, "store.db"))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), articleTable)
	require.NoError(t, err)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for life := 0; ; life++ {
		cmd := child(t, role, dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewReader(out)
		mercy := rnd.IntN(10) // checkpoints until the kill, plus a moment
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			require.False(t, strings.HasPrefix(line, "child:"), line)
			if text, ok := strings.CutPrefix(line, "report "); ok {
				require.NoError(t, json.Unmarshal([]byte(text), &rep))
			}
			if n == mercy && life < kills {
				time.AfterFunc(time.Duration(rnd.IntN(4000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
		}
		err = cmd.Wait()
		if life < kills {
			require.Error(t, err, "killed: there must be rows left to move")
			continue
		}
		require.NoError(t, err)
		return rep, count(t, db, `SELECT count(*) FROM article`), count(t, db, `SELECT count(*) FROM article_written`), good
	}
}

func TestSyncKill(t *testing.T) {
	kills := 20
	if _, soak := os.LookupEnv("CROSSTIE_SOAK"); soak {
		kills = 500
	}
	rows := 20 * (40*kills + 50)
	rep, there, written, good := killed(t, "sync", kills, rows)
	require.True(t, rep.Resumed && rep.Atomic)
	require.Equal(t, batchsync.Counts{In: int64(rows), Inserted: int64(good), Parked: int64(rows - good)}, rep.Counts)
	require.Equal(t, good, there, "rows were lost")
	require.Equal(t, good, written, "rows were written twice")
	t.Logf("%d kills, %d rows, %s", kills, rows, &rep)
}

// The judge of TestSyncKill finds a checkpoint that runs ahead of its rows.
func TestSyncKillFindsAPlantedBug(t *testing.T) {
	rep, there, _, good := killed(t, "sync, planted bug", 2, 20*150)
	require.EqualValues(t, 20*150, rep.In)
	require.Less(t, there, good)
}
