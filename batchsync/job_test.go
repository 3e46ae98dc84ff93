package batchsync_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/retry"
)

// A jobs is a sink whose jobs are functions of a test.
type jobs struct {
	write  func(ctx context.Context, job *batchsync.Job, rows []row) error
	tokens []string // that came with each call
	sizes  []int
}

func (j *jobs) Write(ctx context.Context, rows []row) ([]batchsync.Result, error) {
	return nil, errors.New("Write was called although there is WriteJob")
}

func (j *jobs) WriteJob(ctx context.Context, job *batchsync.Job, rows []row) ([]batchsync.Result, error) {
	j.tokens, j.sizes = append(j.tokens, job.Token()), append(j.sizes, len(rows))
	if err := j.write(ctx, job, rows); err != nil {
		return nil, err
	}
	out := make([]batchsync.Result, len(rows))
	for i := range out {
		out[i].Verdict = batchsync.Inserted
	}
	return out, nil
}

// numbers is a source of pages of size rows.
func numbers(pages, size int) batchsync.Source[string] {
	var rows []row
	for i := range pages * size {
		rows = append(rows, row{ID: strconv.Itoa(i), Value: "v"})
	}
	return slice(max(size, 1), rows...)
}

// stored is what a process that dies now would leave behind.
func stored(t *testing.T, s batchsync.Store) string {
	t.Helper()
	c, err := s.Load(t.Context(), "x", "")
	require.NoError(t, err)
	return c.Token
}

func TestJobIsRememberedBeforeItsDataAndForgottenWithThePage(t *testing.T) {
	store := batchsync.NewMem()
	n := 0
	sink := &jobs{}
	sink.write = func(ctx context.Context, job *batchsync.Job, rows []row) error {
		require.Empty(t, stored(t, store), "the page before is settled, and its job with it")
		n++
		token := []string{"", "a", "b"}[n]
		require.NoError(t, job.Remember(ctx, token))
		require.Equal(t, token, job.Token())
		require.Equal(t, token, stored(t, store))
		return nil
	}
	rep, err := batchsync.New("x", numbers(2, 1500), sink, &batchsync.Options{Checkpoints: store}).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3000, rep.Inserted)
	require.Equal(t, []int{1500, 1500}, sink.sizes, "a job a page, whatever BatchRows is elsewhere")
	require.Equal(t, []string{"", ""}, sink.tokens)
	require.Empty(t, stored(t, store))
}

// A run that ends with a job at work hands it to the next run, also after
// Reset; and so it does to a repeat of the same write.
func TestJobComesBack(t *testing.T) {
	boom := retry.Permanent(errors.New("boom"))
	store := batchsync.NewMem()
	o := &batchsync.Options{Checkpoints: store}
	sink := &jobs{write: func(ctx context.Context, job *batchsync.Job, _ []row) error {
		require.NoError(t, job.Remember(ctx, "first"))
		return boom
	}}
	s := batchsync.New("x", numbers(1, 3), sink, o)
	_, err := s.Run(t.Context())
	require.ErrorIs(t, err, boom)
	require.Equal(t, "first", stored(t, store))
	require.NoError(t, s.Reset(t.Context()))
	require.Equal(t, "first", stored(t, store), "what a job does late must not be forgotten with the position")

	failed := false
	sink.tokens = nil
	sink.write = func(ctx context.Context, job *batchsync.Job, _ []row) error {
		if failed {
			return nil
		}
		failed = true
		require.NoError(t, job.Remember(ctx, "second"))
		return errors.New("a reply was lost")
	}
	o.Retry = retry.Policy{Base: -1}
	rep, err := batchsync.New("x", numbers(1, 3), sink, o).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, rep.Inserted)
	require.Equal(t, []string{"first", "second"}, sink.tokens)
	require.Empty(t, stored(t, store))
}

// A source that has nothing to write leaves the token for a run that has.
func TestJobSurvivesARunWithoutRows(t *testing.T) {
	store := batchsync.NewMem()
	c, err := store.Claim(t.Context(), "x", "", "me", time.Minute)
	require.NoError(t, err)
	c.Run, c.Done, c.Token = 1, true, "old"
	require.NoError(t, store.Save(t.Context(), c, nil, time.Minute))
	require.NoError(t, store.Release(t.Context(), c))
	sink := &jobs{write: func(context.Context, *batchsync.Job, []row) error { return nil }}
	o := &batchsync.Options{Checkpoints: store}
	_, err = batchsync.New("x", numbers(0, 0), sink, o).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, "old", stored(t, store))
	_, err = batchsync.New("x", numbers(1, 1), sink, o).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"old"}, sink.tokens)
	require.Empty(t, stored(t, store))
}

// A runner that was paused, and lost its lease, cannot begin a job.
func TestJobOfALostRunnerIsNotRemembered(t *testing.T) {
	store := batchsync.NewMem()
	sent := false
	sink := &jobs{}
	sink.write = func(ctx context.Context, job *batchsync.Job, _ []row) error {
		c, err := store.Load(ctx, "x", "")
		require.NoError(t, err)
		require.NoError(t, store.Release(ctx, c))
		other, err := store.Claim(ctx, "x", "", "other", time.Minute)
		require.NoError(t, err)
		other.Run, other.Token = 1, "of the other"
		require.NoError(t, store.Save(ctx, other, nil, time.Minute))
		if err := job.Remember(ctx, "of the lost"); err != nil {
			return err
		}
		sent = true
		return nil
	}
	_, err := batchsync.New("x", numbers(1, 1), sink, &batchsync.Options{Checkpoints: store}).Run(t.Context())
	require.ErrorIs(t, err, batchsync.ErrLost)
	require.False(t, sent)
	require.Len(t, sink.tokens, 1, "it is not tried again")
	require.Equal(t, "of the other", stored(t, store))
}

func TestJobOutsideASync(t *testing.T) {
	var none *batchsync.Job
	require.Empty(t, none.Token())
	require.NoError(t, none.Remember(t.Context(), "x"))
	var kept string
	j := batchsync.NewJob("a", func(_ context.Context, token string) error { kept = token; return nil })
	require.Equal(t, "a", j.Token())
	require.NoError(t, j.Remember(t.Context(), "b"))
	require.Equal(t, "b", kept)
	boom := errors.New("boom")
	j = batchsync.NewJob("a", func(context.Context, string) error { return boom })
	require.ErrorIs(t, j.Remember(t.Context(), "b"), boom)
	require.Equal(t, "a", j.Token())
	require.NoError(t, batchsync.NewJob("", nil).Remember(t.Context(), "x"))
}
