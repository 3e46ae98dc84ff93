package remoteinvoke_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/webhook"
)

type Range struct{ From, To int }

type Sum struct{ Total int }

// add sums a range in steps, and goes on from where an earlier attempt was.
func add(ctx context.Context, job *remoteinvoke.Job, in Range) (Sum, error) {
	state := struct{ Next, Total int }{Next: in.From}
	if _, err := job.Saved(&state); err != nil {
		return Sum{}, err
	}
	for state.Next <= in.To {
		if err := ctx.Err(); err != nil {
			return Sum{}, context.Cause(ctx)
		}
		state.Total += state.Next
		state.Next++
		job.Report(int64(state.Next-in.From), int64(in.To-in.From+1), "adding")
		if state.Next%50 == 0 {
			if err := job.Save(ctx, state); err != nil {
				return Sum{}, err
			}
		}
	}
	return Sum{state.Total}, nil
}

func Example() {
	service := remoteinvoke.NewService("sums", remoteinvoke.NewMem(), add, nil)
	mux := http.NewServeMux()
	mux.Handle("/sums/", http.StripPrefix("/sums/", service))
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ran := make(chan error)
	go func() { ran <- service.Run(ctx) }()

	client := remoteinvoke.Client[Range, Sum]{URL: server.URL + "/sums/"}
	pending, err := client.Start(ctx, Range{1, 100}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	sum, err := pending.Wait(ctx)
	fmt.Println(sum.Total, err)

	stop()
	fmt.Println(<-ran)
	// Output:
	// 5050 <nil>
	// <nil>
}

// A poller waits for a job behind any interface; here it is an export that is
// ready at the third look.
func ExamplePoller() {
	looks := 0
	poller := remoteinvoke.NewPoller(func(context.Context) (remoteinvoke.Poll[string], error) {
		looks++ // GET /exports/42
		return remoteinvoke.Poll[string]{Done: looks == 3, Result: "https://files.example/42.csv"}, nil
	}, &remoteinvoke.PollOptions{First: time.Millisecond})
	file, err := poller.Wait(context.Background())
	fmt.Println(file, err, looks)
	// Output: https://files.example/42.csv <nil> 3
}

// A service that calls its callers back: each has a secret of its own, and
// URLs that it may name.
func ExampleCallbacks() {
	secret := webhook.NewSecret() // shared by the service and this caller
	service := remoteinvoke.NewService("sums", remoteinvoke.NewMem(), add, &remoteinvoke.ServiceOptions{
		Callbacks: func(caller string) (remoteinvoke.Target, error) {
			return remoteinvoke.Target{Allow: []string{"https://shop.example/hooks"}, Sign: secret}, nil
		},
	})
	callbacks := remoteinvoke.NewCallbacks("sums", "https://shop.example/hooks/sums",
		webhook.Verifier{Secrets: []webhook.Secret{secret}}, remoteinvoke.NewMemCallbacks(), nil)
	http.Handle("POST /hooks/sums", callbacks)

	client := remoteinvoke.Client[Range, Sum]{
		URL:       "https://sums.example/",
		Callbacks: callbacks,
		HTTP:      &http.Client{Transport: &network{Handler: service}}, // no network here
	}
	pending, err := client.Start(context.Background(), Range{1, 100}, nil)
	fmt.Println(pending != nil, err)
	_, err = client.Start(context.Background(), Range{1, 100}, &remoteinvoke.StartOptions{Callback: "https://other.example/"})
	fmt.Println(errors.Is(err, remoteinvoke.ErrCallback))
	// Output:
	// true <nil>
	// true
}
