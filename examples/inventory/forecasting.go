package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// A planner starts forecasts and learns of their end. The service that computes them could be anywhere: the planner
// knows its URL, and the service knows where it may call back and with which secret.
type planner struct {
	*forecaster
	service *remoteinvoke.Service
	worker  *runner
	client  remoteinvoke.Client[moment, plan]

	ear       string         // where it is called back
	secret    webhook.Secret // with which
	callbacks atomic.Int64   // that were let in
}

const forecastService = "forecast"

// openPlanner starts the service, its worker and the planner's ear for callbacks.
func (s *system) openPlanner(ctx context.Context) (*planner, error) {
	p := &planner{forecaster: &forecaster{w: s.warehouse}}
	p.secret = webhook.NewSecret() // shared by the two ends, which live and die together here
	ear := http.NewServeMux()
	at, err := s.listen(ctx, "127.0.0.1:0", ear)
	if err != nil {
		return nil, err
	}
	p.ear = "http://" + at + "/callback"
	p.client.Callbacks = remoteinvoke.NewCallbacks(forecastService, p.ear, webhook.Verifier{Secrets: []webhook.Secret{p.secret}},
		s.warehouse.store.Callbacks(), &remoteinvoke.CallbackOptions{Logger: s.logger()})
	ear.Handle("POST /callback", p.deaf(s, p.client.Callbacks))

	p.service = remoteinvoke.NewService(forecastService, s.warehouse.store.Jobs(), p.run, &remoteinvoke.ServiceOptions{
		Workers: 1,
		Lease:   s.c.lease(),
		Poll:    50 * time.Millisecond,
		Drain:   -1, // what it found so far is saved: it may stop at any page
		Retry:   retry.Policy{MaxAttempts: 100, Base: 20 * time.Millisecond, Max: time.Second},
		Callbacks: func(string) (remoteinvoke.Target, error) {
			return remoteinvoke.Target{Allow: []string{p.ear}, Sign: p.secret}, nil
		},
		CallbackClient:   hookClient("http://" + at),
		CallbackSchedule: []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second},
		Logger:           s.logger(),
	})
	service, err := s.listen(ctx, "127.0.0.1:0", http.StripPrefix("/forecasts/", p.service))
	if err != nil {
		return nil, err
	}
	p.client.URL = "http://" + service + "/forecasts/"
	p.client.HTTP = &http.Client{Transport: s.transport()}
	p.worker = &runner{run: p.service.Run, fail: s.fail}
	s.onClose(func() error { p.worker.stop(); return nil })
	return p, nil
}

// deaf loses the answer to the first callback of each job, so that it comes twice: the ear must bear it.
func (p *planner) deaf(s *system, next http.Handler) http.Handler {
	var mu sync.Mutex
	heard := map[string]bool{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.callbacks.Add(1)
		id := r.Header.Get("Webhook-Id")
		mu.Lock()
		again := heard[id]
		heard[id] = true
		mu.Unlock()
		if !again {
			next.ServeHTTP(&nowhere{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
		s.board.event("remoteinvoke", "The callback came twice, since the network had lost the answer to the first. The second changed nothing.")
	})
}

// forecasting starts a forecast and cancels it, starts another, has its worker stopped in the middle and resumed, and
// waits for the signed callback.
func (s *story) forecasting(ctx context.Context) ([]tally, error) {
	p := s.planner
	m, err := s.warehouse.now(ctx)
	if err != nil {
		return nil, err
	}
	var products int64
	if err := s.warehouse.db.QueryRowContext(ctx, `SELECT count(*) FROM product`).Scan(&products); err != nil {
		return nil, err
	}
	s.bar.start("forecast", products)
	began := time.Now()
	first, second := fmt.Sprintf("%s-%d-canceled", m.History, m.Reservations), fmt.Sprintf("%s-%d", m.History, m.Reservations)
	st := &stops{first: first, second: second, bar: s.bar, watched: s.c.hooks.forecast, reached: make(chan string, 16)}
	p.before = st.before
	p.worker.start(ctx)

	canceled, err := s.cancelOne(ctx, first, m, st)
	if err != nil {
		return nil, err
	}
	result, resumed, err := s.resumeOne(ctx, second, m, st)
	if err != nil {
		return nil, err
	}
	s.job, s.moment, s.plan = second, m, result
	took := time.Since(began)
	jobs := tally{Pattern: "remoteinvoke", What: "end each job", In: 2, Took: took}
	each := tally{Pattern: "remoteinvoke", What: "forecast what to order of each product", In: products, Took: took}
	how := "was done before"
	if resumed {
		how = "was stopped half-way and resumed where it was"
	}
	if canceled {
		jobs.What, jobs.Unprocessed = "end each job (unprocessed: canceled)", 1
	} else {
		jobs.Unchanged++
	}
	if st.pages.Load() > 0 {
		jobs.Done, each.Done = 1, products
	} else {
		jobs.Unchanged, each.Unchanged = jobs.Unchanged+1, products
	}
	s.bar.end(fmt.Sprintf("one job was canceled; the other %s; %s of %s to order; %s", how,
		plural(result.Pieces, "piece"), plural(result.Orders, "product"), plural(p.callbacks.Load(), "signed callback")))
	return []tally{jobs, each}, nil
}

// cancelOne starts a forecast, cancels it when it has begun, and waits for its end.
func (s *story) cancelOne(ctx context.Context, id string, m moment, st *stops) (canceled bool, err error) {
	job, err := s.planner.client.Start(ctx, m, &remoteinvoke.StartOptions{ID: id})
	if err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	go func() { _, err := job.Wait(ctx); ended <- err }()
	select {
	case <-st.reached:
		if _, err := job.Cancel(ctx); err != nil {
			return false, err
		}
		err = <-ended
	case err = <-ended: // by a process that was killed
	}
	switch {
	case errors.Is(err, remoteinvoke.ErrCanceled):
		return true, s.warehouse.forgetForecast(ctx, id)
	case err == nil, errors.Is(err, remoteinvoke.ErrGone):
		return false, nil // it was quicker than the cancel, which is no error
	}
	return false, err
}

// resumeOne starts a forecast, stops its worker half-way and starts it again, and waits for the result.
func (s *story) resumeOne(ctx context.Context, id string, m moment, st *stops) (result plan, resumed bool, err error) {
	job, err := s.planner.client.Start(ctx, m, &remoteinvoke.StartOptions{ID: id})
	if err != nil {
		return plan{}, false, err
	}
	type end struct {
		plan
		error
	}
	ended := make(chan end, 1)
	go func() { p, err := job.Wait(ctx); ended <- end{p, err} }()
	var e end
	select {
	case <-st.reached:
		s.planner.worker.stop()
		s.board.event("remoteinvoke", "The worker of the forecast was stopped half-way. Another goes on with what it saved.")
		resumed = true
		s.planner.worker.start(ctx)
		e = <-ended
	case e = <-ended:
	}
	return e.plan, resumed, e.error
}

// stops says where the two jobs of the story halt: the first at once, until it is canceled; the second half-way, until
// its worker is stopped, once.
type stops struct {
	first, second string
	bar           *progress
	watched       func(done, total int64) // nil for nobody
	reached       chan string
	halted        atomic.Bool
	pages         atomic.Int64
}

func (st *stops) before(ctx context.Context, job string, done, total int64) error {
	switch {
	case job == st.first:
	case job == st.second && done >= total/2 && done < total && !st.halted.Swap(true):
	default:
		if job == st.second {
			if st.watched != nil {
				st.watched(done, total)
			}
			st.bar.of(done, total)
			st.pages.Add(1)
		}
		return nil
	}
	select {
	case st.reached <- job:
	case <-ctx.Done():
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
