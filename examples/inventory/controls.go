package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/remoteinvoke"
)

// What people do to the forecast and to the subscribers while the program serves.

// A running is the forecast that was started and has not ended.
type running struct {
	mu  sync.Mutex // guards job
	job *remoteinvoke.Pending[plan]

	started, done, canceled, failed int64
}

// pagePace slows a forecast down while somebody watches, so that there is something to see and time to cancel it.
const pagePace = 150 * time.Millisecond

// serveForecasts lets the worker run, and takes up the forecast that was running when the program last ended.
func (s *system) serveForecasts(ctx context.Context) {
	s.planner.before = func(ctx context.Context, _ string, _, _ int64) error { return pause(ctx, pagePace) }
	s.planner.worker.start(ctx)
	token, err := os.ReadFile(s.folder.file(forecastToken))
	if err != nil {
		return
	}
	if job, err := s.planner.client.Resume(strings.TrimSpace(string(token))); err == nil {
		s.board.event("remoteinvoke", "A forecast was running when the program ended. It goes on with what it had saved.")
		s.watchForecast(ctx, job)
	}
}

// forecastToken is the file that says which forecast runs.
const forecastToken = "forecast.token"

// Forecast implements controls.
func (s *system) Forecast(ctx context.Context) error {
	m, err := s.warehouse.now(ctx)
	if err != nil {
		return err
	}
	s.forecasts.mu.Lock()
	defer s.forecasts.mu.Unlock()
	if s.forecasts.job != nil {
		return declined("A forecast is running already. Cancel it, or wait for its end.")
	}
	job, err := s.planner.client.Start(ctx, m, &remoteinvoke.StartOptions{ID: "page-" + rand.Text()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.folder.file(forecastToken), []byte(job.Token()+"\n"), 0o600); err != nil {
		s.board.event(kindTrouble, "The forecast runs, and this program will not find it again after a restart: its token could not be written.")
	}
	s.forecasts.job = job
	s.forecasts.started++
	s.life.Go(func() { s.awaitForecast(job) })
	return nil
}

// CancelForecast implements controls.
func (s *system) CancelForecast(ctx context.Context) error {
	s.forecasts.mu.Lock()
	job := s.forecasts.job
	s.forecasts.mu.Unlock()
	if job == nil {
		return declined("No forecast is running.")
	}
	_, err := job.Cancel(ctx)
	return err
}

func (s *system) watchForecast(_ context.Context, job *remoteinvoke.Pending[plan]) {
	s.forecasts.mu.Lock()
	defer s.forecasts.mu.Unlock()
	s.forecasts.job = job
	s.forecasts.started++
	s.life.Go(func() { s.awaitForecast(job) })
}

// awaitForecast shows how far a forecast is, and at its end what came of it.
func (s *system) awaitForecast(job *remoteinvoke.Pending[plan]) {
	ctx := s.lifetime
	p, err := job.Watch(ctx, func(st remoteinvoke.Status) {
		s.board.progress("remoteinvoke", st.Progress.Done, st.Progress.Total)
		switch {
		case st.State == remoteinvoke.Canceling:
			s.board.now("remoteinvoke", "The forecast is asked to stop, and has not yet.")
		case st.State == remoteinvoke.Queued:
			s.board.now("remoteinvoke", "The forecast waits for a worker.")
		case st.Attempt > 1:
			s.board.now("remoteinvoke", fmt.Sprintf("The forecast goes on where its last worker saved it: attempt %d.", st.Attempt))
		default:
			s.board.now("remoteinvoke", "The forecast runs: "+st.Progress.Note+".")
		}
	})
	if ctx.Err() != nil {
		return // the program ends; the job does not
	}
	s.forecasts.mu.Lock()
	s.forecasts.job = nil
	words := ""
	switch f := (*remoteinvoke.Failure)(nil); {
	case err == nil:
		s.forecasts.done++
		words = fmt.Sprintf("The forecast is done: %s of %s are to be ordered.", plural(p.Pieces, "piece"), plural(p.Orders, "product"))
		if p.Orders == 0 {
			words = fmt.Sprintf("The forecast is done: of %s none has to be ordered now.", plural(p.Products, "product"))
		}
	case errors.Is(err, remoteinvoke.ErrCanceled):
		s.forecasts.canceled++
		words = "The forecast was canceled."
	case errors.As(err, &f):
		s.forecasts.failed++
		words = "The forecast failed: " + f.Message
	default:
		s.forecasts.failed++
		words = "The forecast is lost from sight: " + err.Error()
	}
	s.forecasts.mu.Unlock()
	os.Remove(s.folder.file(forecastToken))
	s.board.progress("remoteinvoke", 0, 0)
	s.board.now("remoteinvoke", words)
	if err == nil {
		s.board.event("remoteinvoke", words)
		s.afterForecast(ctx)
		return
	}
	s.board.event(kindTrouble, words)
	if err := s.warehouse.forgetForecast(ctx, job.ID()); err != nil {
		s.board.event(kindTrouble, "What the forecast left behind could not be removed.")
	}
}

// afterForecast shows the new reorder points, and moves what changed into the org.
func (s *system) afterForecast(ctx context.Context) {
	if err := s.refill(ctx); err != nil {
		s.board.event(kindTrouble, "The new reorder points cannot be shown: the warehouse could not be read.")
	}
	s.syncOrg(ctx)
}

// syncEvery is how often what changed moves into the org, and how soon it is tried again when the org was away.
const syncEvery = 30 * time.Second

// keepOrg moves what changed into the org, now and then, until ctx ends.
func (s *system) keepOrg(ctx context.Context) error {
	for moved := int64(-1); ; {
		var last int64
		if err := s.warehouse.db.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM reservation`).Scan(&last); err != nil {
			return err
		}
		wait := syncEvery
		if last != moved {
			if s.syncOrg(ctx) {
				moved = last
			} else {
				wait = time.Second
			}
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// syncOrg moves what changed into the org, says what became of it, and reports whether it got there.
func (s *system) syncOrg(ctx context.Context) bool {
	s.moving.Lock()
	defer s.moving.Unlock()
	s.board.now("batchsync", "What changed moves into the org.")
	tallies, err := s.toOrg(ctx, newProgress(io.Discard), io.Discard, "move what changed into the org")
	if ctx.Err() != nil {
		return false
	}
	s.orgIs(err)
	if err != nil {
		s.board.now("batchsync", "The org cannot be told of what changed. It is tried again.")
		return false
	}
	t := tallies[0]
	s.board.counts("batchsync", t.In, t.Done, t.Unchanged, t.Failed, t.Parked)
	moved := fmt.Sprintf("%s sent, %d as before", plural(t.Done, "product"), t.Unchanged)
	s.board.now("batchsync", "The org is up to date: "+moved+".")
	if t.Done > 0 {
		s.board.event("batchsync", "Moved into the org: "+moved+".")
	}
	return true
}

// Restart implements controls.
func (s *system) Restart(ctx context.Context, name string) error {
	sb, ok := s.subscribers[name]
	if !ok {
		return declined("There is no such subscriber.")
	}
	s.board.subscriber(name, waiting, "It is stopped.")
	sb.stop()
	lag, err := sb.sub.Lag(ctx)
	if errors.Is(err, pubsub.ErrGone) {
		// A person who restarts it has read what is missing, and wants what there is.
		err = sb.sub.Seek(ctx, pubsub.Start{})
	}
	var again int
	if err == nil {
		again, err = sb.sub.DeadLetters().Redrive(ctx)
	}
	sb.start(ctx)
	if err != nil {
		return err
	}
	words := fmt.Sprintf("The subscriber %s was restarted. It goes on at its cursor, %s behind", name, plural(max(0, lag.Events), "event"))
	if again > 0 {
		words += fmt.Sprintf(", and tries again %s that %s parked", plural(int64(again), "event"), wasOrWere(int64(again)))
	}
	s.board.event("pubsub", words+".")
	return nil
}
