package hook_test

import (
	"bytes"
	"context"
	"database/sql"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/coalesce"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/webhook"
)

// A bomb panics whenever it is told anything.
type bomb struct{}

func (bomb) Start(context.Context, string, ...slog.Attr) context.Context { panic("boom at start") }
func (bomb) End(context.Context, string, error, ...slog.Attr)            { panic("boom at end") }

// A journal is a logger whose lines are kept.
type journal struct {
	*slog.Logger
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func newJournal() *journal {
	j := &journal{}
	j.Logger = slog.New(slog.NewTextHandler(j, nil))
	return j
}

// ops are the operations whose observers panicked, each with how often.
func (j *journal) ops() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	ops := map[string]int{}
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, "msg=observer_panicked") {
			_, op, _ := strings.Cut(line, " op=")
			op, _, _ = strings.Cut(op, " ")
			ops[op]++
		}
	}
	return ops
}

// In no room does it matter what an Observer does: the work is done, its answer
// is what it would have been, and the log says who panicked.
func TestAPanicOfAnObserverChangesNothing(t *testing.T) {
	post := func(id string, secret webhook.Secret, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		h, err := webhook.Headers(id, time.Now(), []byte(body), secret)
		require.NoError(t, err)
		maps.Copy(r.Header, h)
		return r
	}
	for room, work := range map[string]func(t *testing.T, ctx context.Context, log *slog.Logger) (ops []string){
		"requestreply": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			g := requestreply.NewGuard(&requestreply.Options{Observer: bomb{}, Logger: log})
			v, err := requestreply.Run(ctx, g, requestreply.Op{}, func(context.Context) (int, error) { return 7, nil })
			require.NoError(t, err)
			require.Equal(t, 7, v)
			return []string{"requestreply.call", "requestreply.attempt"}
		},
		"requestreply, as a transport": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			g := requestreply.NewGuard(&requestreply.Options{Observer: bomb{}, Logger: log})
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://a.example/", nil)
			require.NoError(t, err)
			resp, err := (&requestreply.Transport{Guard: g, Base: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
			})}).RoundTrip(r)
			require.NoError(t, err)
			require.Equal(t, 204, resp.StatusCode)
			require.NoError(t, resp.Body.Close())
			return []string{"requestreply.call", "requestreply.attempt"}
		},
		"requestreply/server": func(t *testing.T, _ context.Context, log *slog.Logger) []string {
			h := server.Handle(func(_ context.Context, n int) (int, error) { return n + 1, nil }, &server.Options{Observer: bomb{}, Logger: log})
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("1"))
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(w, r)
			require.Equal(t, "2", strings.TrimSpace(w.Body.String()))
			return []string{"requestreply/server.request"}
		},
		"requestreply/coalesce": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			b := coalesce.NewBatcher(func(context.Context, []int) (map[int]int, error) { return map[int]int{1: 2}, nil },
				&coalesce.BatcherOptions{Observer: bomb{}, Logger: log})
			v, err := b.Load(ctx, 1)
			require.NoError(t, err)
			require.Equal(t, 2, v)
			s := coalesce.NewShared(func(context.Context, int) (int, error) { return 3, nil }, &coalesce.SharedOptions{Observer: bomb{}, Logger: log})
			v, err = s.Do(ctx, 1)
			require.NoError(t, err)
			require.Equal(t, 3, v)
			return []string{"requestreply.batch", "requestreply.shared"}
		},
		"fireforget": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			store := fireforget.NewMem()
			_, err := fireforget.NewOutbox(store, &fireforget.OutboxOptions{Observer: bomb{}, Logger: log}).Send(ctx, fireforget.Message{To: "x", Payload: 1})
			require.NoError(t, err)
			arrived := 0
			relay := fireforget.NewRelay(store, &fireforget.RelayOptions{Observer: bomb{}, Logger: log})
			relay.Handle("x", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error { arrived++; return nil }), nil)
			during(ctx, relay.Run)
			require.Equal(t, 1, arrived)
			secret := webhook.NewSecret()
			h := fireforget.NewReceiver(webhook.Verifier{Secrets: []webhook.Secret{secret}}, inbox.New("in", inbox.NewMem(), nil),
				func(context.Context, *sql.Tx, webhook.Message) error { return nil }, &fireforget.ReceiverOptions{Observer: bomb{}, Logger: log})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, post("m1", secret, "{}"))
			require.Equal(t, 2, w.Code/100)
			return []string{"send", "deliver", "settle", "receive"}
		},
		"batchsync": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			rows := batchsync.From(func(context.Context, string) iter.Seq2[batchsync.Page[int], error] {
				return func(yield func(batchsync.Page[int], error) bool) {
					yield(batchsync.Page[int]{Rows: []batchsync.Row[int]{{ID: "r", Value: 1}}, Done: true}, nil)
				}
			})
			_, err := batchsync.New("s", rows, discard{}, &batchsync.Options{Observer: bomb{}, Logger: log}).Run(ctx)
			require.NoError(t, err)
			return []string{"run", "write", "save"}
		},
		"remoteinvoke": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			secret := webhook.NewSecret()
			called := 0
			s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(_ context.Context, _ *remoteinvoke.Job, n int) (int, error) { return n + 1, nil },
				&remoteinvoke.ServiceOptions{
					Observer: bomb{}, Logger: log,
					Callbacks: func(string) (remoteinvoke.Target, error) {
						return remoteinvoke.Target{Allow: []string{"https://me.example"}, Sign: secret}, nil
					},
					CallbackClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
						called++
						return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
					})},
				})
			st, err := s.Start(ctx, "", 1, &remoteinvoke.StartOptions{Callback: "https://me.example/"})
			require.NoError(t, err)
			during(ctx, s.Run)
			st, err = s.Status(ctx, "", st.ID)
			require.NoError(t, err)
			require.Equal(t, remoteinvoke.Done, st.State)
			require.Equal(t, 1, called)

			heard := remoteinvoke.NewCallbacks("f", "https://me.example/", webhook.Verifier{Secrets: []webhook.Secret{secret}},
				remoteinvoke.NewMemCallbacks(), &remoteinvoke.CallbackOptions{Observer: bomb{}, Logger: log})
			w := httptest.NewRecorder()
			heard.ServeHTTP(w, post("j1", secret, `{"service":"f","caller":"","job":{"id":"j1","state":"done","version":2}}`))
			require.Equal(t, http.StatusNoContent, w.Code)

			p := remoteinvoke.NewPoller(func(context.Context) (remoteinvoke.Poll[int], error) {
				return remoteinvoke.Poll[int]{Done: true, Result: 5}, nil
			}, &remoteinvoke.PollOptions{Observer: bomb{}, Logger: log})
			v, err := p.Wait(ctx)
			require.NoError(t, err)
			require.Equal(t, 5, v)
			return []string{"start", "run", "callback", "receive", "poll"}
		},
		"pubsub": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			topic := pubsub.NewTopic[int](pubsub.NewMem(), "numbers", &pubsub.TopicOptions{Observer: bomb{}, Logger: log})
			_, err := topic.Publish(ctx, "k", 1)
			require.NoError(t, err)
			heard := 0
			sub := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error { heard++; return nil },
				&pubsub.SubscribeOptions{Observer: bomb{}, Logger: log})
			during(ctx, sub.Run)
			require.Equal(t, 1, heard)
			lag, err := sub.Lag(ctx)
			require.NoError(t, err)
			require.Zero(t, lag.Events)
			return []string{"publish", "handle", "save"}
		},
		"uiupdate": func(t *testing.T, ctx context.Context, log *slog.Logger) []string {
			v := uiupdate.NewView[string, int](nil)
			h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Observer: bomb{}, Logger: log})
			for _, accept := range []string{"application/json", "text/event-stream"} {
				rctx, cancel := context.WithTimeout(ctx, time.Minute)
				r := httptest.NewRequestWithContext(rctx, http.MethodGet, "/", nil)
				r.Header.Set("Accept", accept)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				cancel()
				require.Contains(t, w.Body.String(), "now")
			}
			require.Zero(t, v.Stats().Readers)
			require.NoError(t, h.Shutdown(ctx))
			f := uiupdate.NewFresh(func(context.Context, int) (int, error) { return 9, nil }, &uiupdate.FreshOptions{Observer: bomb{}, Logger: log})
			got, err := f.Load(ctx, 1)
			require.NoError(t, err)
			require.Equal(t, 9, got.V)
			synctest.Wait()
			return []string{"poll", "stream", "load"}
		},
	} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				want := work(t, t.Context(), j.Logger)
				ops := j.ops()
				slices.Sort(want)
				require.Equal(t, want, slices.Sorted(maps.Keys(ops)))
				for op, n := range ops {
					require.Zero(t, n%2, "%s: each Start has its End", op)
				}
			})
		})
	}
}

// during runs what blocks for a minute.
func during(ctx context.Context, run func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_ = run(ctx)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type discard struct{}

func (discard) Write(_ context.Context, rows []batchsync.Row[int]) ([]batchsync.Result, error) {
	out := make([]batchsync.Result, len(rows))
	for i, r := range rows {
		out[i] = batchsync.Result{ID: r.ID, Verdict: batchsync.Inserted}
	}
	return out, nil
}

// A careless observer returns no context.
type careless struct{ bomb }

func (careless) Start(context.Context, string, ...slog.Attr) context.Context { return nil }

func TestGuard(t *testing.T) {
	ctx := t.Context()
	for name, o := range map[string]hook.Observer{"none": nil, "panics": bomb{}, "returns nil": careless{}} {
		g := hook.Guard(o, newJournal().Logger)
		require.Equal(t, ctx, g.Start(ctx, "op"), name)
		g.End(ctx, "op", nil)
		require.Equal(t, g, hook.Guard(g, nil), "%s: guarded once", name)
	}
}
