// Command remoteinvoke shows a job that outlives the process that runs it.
//
// A forecast over 40 products takes a while. The caller starts it, is told its
// id at once, and watches its progress. Halfway the worker's process ends; a
// second one takes the job over and goes on from what the first had saved. The
// service tells of the end by a signed webhook, which wakes the caller before
// its next look. A second job is canceled on its way.
//
// The store is in memory here, so that the program needs nothing. With
// sqlstore's Jobs and Callbacks in its place the same code survives kill -9.
//
//	go run ./examples/remoteinvoke
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/webhook"
)

type (
	products struct{ From, To int }
	forecast struct{ Products, Units int }
)

// predict forecasts one product after another, and saves what it has.
func predict(ctx context.Context, job *remoteinvoke.Job, in products) (forecast, error) {
	state := struct {
		Next int
		Sum  forecast
	}{Next: in.From}
	found, err := job.Saved(&state)
	if err != nil {
		return forecast{}, err
	}
	fmt.Printf("worker: begins at product %d, saved before: %v\n", state.Next, found)
	for state.Next <= in.To {
		select {
		case <-ctx.Done():
			fmt.Printf("worker: stops at product %d: %v\n", state.Next, context.Cause(ctx))
			return forecast{}, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond): // the model thinks
		}
		state.Sum.Products++
		state.Sum.Units += state.Next % 7
		state.Next++
		job.Report(int64(state.Sum.Products), int64(in.To-in.From+1), "")
		if err := job.Save(ctx, state); err != nil {
			return forecast{}, err
		}
	}
	return state.Sum, nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	secret := webhook.NewSecret() // the caller's own, known to the service

	// The caller's side: where it is told of ends.
	var callbacks *remoteinvoke.Callbacks
	caller := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("caller: called back")
		callbacks.ServeHTTP(w, r)
	}))
	defer caller.Close()
	callbacks = remoteinvoke.NewCallbacks("forecast", caller.URL, webhook.Verifier{Secrets: []webhook.Secret{secret}},
		remoteinvoke.NewMemCallbacks(), nil)

	// The service's side.
	store := remoteinvoke.NewMem()
	options := &remoteinvoke.ServiceOptions{
		Callbacks: func(string) (remoteinvoke.Target, error) {
			return remoteinvoke.Target{Allow: []string{caller.URL}, Sign: secret}, nil
		},
		CallbackClient: webhook.NewClient(&webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{0}}),
		Drain:          -1,
	}
	run := func(ctx context.Context) {
		check(remoteinvoke.NewService("forecast", store, predict, options).Run(ctx))
	}
	api := remoteinvoke.NewService("forecast", store, predict, options) // takes jobs, runs none
	server := httptest.NewServer(api)
	defer server.Close()
	first, end := context.WithTimeout(ctx, time.Second)
	defer end()
	go func() { run(first); run(ctx) }()

	client := remoteinvoke.Client[products, forecast]{URL: server.URL, Callbacks: callbacks}
	pending, err := client.Start(ctx, products{1, 40}, nil)
	check(err)
	resumed, err := client.Resume(pending.Token()) // as another process would
	check(err)
	out, err := resumed.Watch(ctx, func(st remoteinvoke.Status) {
		fmt.Printf("caller: %s, version %d, %d of %d products\n", st.State, st.Version, st.Progress.Done, st.Progress.Total)
	})
	check(err)
	fmt.Printf("caller: %d units in %d products\n", out.Units, out.Products)

	pending, err = client.Start(ctx, products{1, 1000}, nil)
	check(err)
	st, err := pending.Cancel(ctx)
	check(err)
	_, err = pending.Wait(ctx)
	fmt.Printf("caller: asked to cancel, was told %q; canceled: %v\n", st.State, errors.Is(err, remoteinvoke.ErrCanceled))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
